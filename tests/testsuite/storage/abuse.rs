//! What strangers send to storage, what many send at once, and a disk that fills.

use super::*;

// Naptha's defects: A6, E8
#[test]
fn no_path_leads_out_of_a_users_folder() {
    let node = TestNode::start(&[]);
    let token = node.token(600);
    std::fs::write(node.data().join("storage-secret"), "secret").expect("a file");
    assert_eq!(upload(&node, &token, "/storage/fs/create/a", "a.txt", b"mine".to_vec()).0, 200);
    let before = kept(&node);
    for path in [
        "..%2f..%2f..%2fstorage-secret",
        "%2e%2e/%2e%2e/%2e%2e/storage-secret",
        "a/..%2f..%2f..%2f..%2fstorage-secret",
        "/etc/hostname",
        "%2fetc%2fhostname",
        "a%00.txt",
        "a%5c..%5ca.txt",
        "c:%5cwindows",
        "a//a.txt",
        "a%0a",
        "a%e2%80%aetxt",
        "con",
        &"a".repeat(300),
        &"a/".repeat(40),
        &format!("{}x", "abcdefghi/".repeat(120)),
    ] {
        for (method, operation) in [("GET", "read"), ("GET", "list"), ("DELETE", "delete")] {
            let url = format!("{}/storage/fs/{operation}/{path}", node.url);
            let answer = send(method, &url, &[("authorization", &format!("Bearer {token}"))], "");
            assert!((400..500).contains(&answer.status), "{method} {path}: {answer:?}");
            assert!(
                !answer.text.contains("secret\"") && !answer.text.contains(&node.data().display().to_string()),
                "{answer:?}"
            );
        }
        let (status, text) = upload(&node, &token, &format!("/storage/fs/create/{path}"), "x.txt", b"x".to_vec());
        assert!((400..500).contains(&status), "create {path}: {status} {text}");
    }
    for name in ["../x", "/etc/x", "..", ".", "", "a\\b", "nul", "x\u{202e}", "a\u{1}b"] {
        let (status, text) = upload(&node, &token, "/storage/fs/create/a", name, b"x".to_vec());
        assert_eq!(status, 422, "{name:?}: {text}");
    }
    assert_eq!(kept(&node), before);
    // A link that somebody else put there is not followed.
    let root = Path::new(&before[0]).parent().and_then(Path::parent).expect("the user's folder").to_owned();
    std::os::unix::fs::symlink(node.data(), root.join("link")).expect("a link");
    assert_eq!(mine(&node, "GET", "/storage/fs/read/link/storage-secret", "").status, 404);
    assert_eq!(mine(&node, "GET", "/storage/fs/read/link", "").status, 404);
}

#[test]
fn zip_files_of_strangers_are_refused_and_leave_nothing() {
    let node = TestNode::start(&["--quota", "200MiB"]);
    let token = node.token(600);
    let send = |name: &str, content: Vec<u8>| upload(&node, &token, "/storage/fs/create/z", name, content);
    let mut link = ZipWriter::new(Cursor::new(Vec::new()));
    link.add_symlink("link", "/etc", SimpleFileOptions::default()).expect("a link");
    let link = link.finish().expect("an archive").into_inner();
    let mut many = ZipWriter::new(Cursor::new(Vec::new()));
    for number in 0..20_001 {
        many.start_file(format!("{number}"), SimpleFileOptions::default()).expect("a file");
    }
    let many = many.finish().expect("an archive").into_inner();
    let zeros = vec![0; 65 << 20];
    let mut damaged = zip(&[("a.txt", b"some content that is compressed")]);
    damaged[40] ^= 0xff;
    let mut trailing = zip(&[("a.txt", b"x")]);
    trailing.push(0);
    for (what, content, told) in [
        ("no zip", b"no zip".to_vec(), "it is no zip file"),
        ("a way out", zip(&[("../x", b"x")]), "leads out of its folder"),
        ("an absolute name", zip(&[("/etc/x", b"x")]), "is absolute"),
        ("a backslash", zip(&[("a\\..\\x", b"x")]), "backslash"),
        ("a link", link, "is a link"),
        ("a file and a folder", zip(&[("a", b"x"), ("a/b", b"x")]), "is a file and a folder in it"),
        ("a bomb", zip(&[("zeros", &zeros)]), "it unpacks to more than 100 times its size"),
        ("many files", many, "more than 20000 entries"),
        ("damage", damaged, "`a.txt` in it"),
        ("more behind", trailing, "something follows its end"),
    ] {
        let (status, text) = send("x.zip", content);
        assert_eq!(status, 422, "{what}: {text}");
        assert!(text.contains(told), "{what}: {text}");
        assert_eq!(kept(&node), Vec::<String>::new(), "{what}");
    }
    let (status, text) = send("large.bin", vec![1; 201 << 20]);
    assert_eq!(status, 413, "{text}");
    // What is fine is unpacked over what is there; and kept as it is if that is wanted.
    assert_eq!(send("x.zip", zip(&[("a.txt", b"old"), ("d/b.txt", b"b")])).0, 200);
    assert_eq!(send("y.ZIP", zip(&[("a.txt", b"new"), ("d/c.txt", b"c")])).0, 200);
    node.sandbox.write("z.zip", "no zip");
    storage(&node, &["fs", "create", "z", "--file", "z.zip", "--options", "{\"unpack\": false}"]).expect(0);
    assert_eq!(mine(&node, "GET", "/storage/fs/read/z/a.txt", "").text, "new");
    let names = storage(&node, &["fs", "list", "z", "--options", "{\"recursive\": true, \"include_dirs\": false}"]);
    assert_eq!(names.expect(0).stdout, "z/a.txt  3\nz/d/b.txt  1\nz/d/c.txt  1\nz/z.zip  6\n");
    assert_eq!(send("w.zip", zip(&[("a.txt/x", b"x")])).0, 409);
}

// Naptha's defects: A8
#[test]
fn nothing_that_is_asked_of_a_table_is_sql() {
    let node = TestNode::start(&[]);
    let evil = ["1=1 --", "a\"; DROP TABLE t; --", "version() as v", "a' OR '1'='1", "sqlite_master", "*", "rowid", ""];
    let form = |data: Value| {
        url::form_urlencoded::Serializer::new(String::new()).append_pair("data", &data.to_string()).finish()
    };
    let create = |data: Value| mine(&node, "POST", "/storage/db/create/t", &form(data));
    assert_eq!(create(json!({ "schema": { "a": "text", "v": "vector(2)" } })).status, 200);
    assert_eq!(create(json!({ "data": { "a": "kept", "v": [1, 2] } })).status, 200);
    let encode = |value: &Value| url::form_urlencoded::byte_serialize(value.to_string().as_bytes()).collect::<String>();
    for name in evil {
        let mut asked = vec![];
        for options in [
            json!({ "columns": [name] }),
            json!({ "conditions": [{ name: 1 }] }),
            json!({ "order_by": format!("{name} asc") }),
            json!({ "order_by": "a", "order_direction": format!("{name}x") }),
            json!({ "vector_col": name, "query_vector": [1, 2] }),
            json!({ "vector_col": "v", "query_vector": format!("[1,2]{name}x") }),
        ] {
            asked.push(mine(&node, "GET", &format!("/storage/db/read/t?options={}", encode(&options)), ""));
        }
        let condition = encode(&json!({ name: 1 }));
        asked.push(mine(&node, "DELETE", &format!("/storage/db/delete/t?condition={condition}"), ""));
        asked.push(mine(
            &node,
            "PUT",
            &format!("/storage/db/update/t?condition={condition}"),
            &form(json!({ "data": { "a": "x" } })),
        ));
        asked.push(create(json!({ "data": { name: "x" } })));
        asked.push(mine(&node, "POST", "/storage/db/create/u", &form(json!({ "schema": { name: "text;x" } }))));
        asked.push(mine(&node, "POST", "/storage/db/create/u", &form(json!({ "schema": { "b": { "type": name } } }))));
        if !name.is_empty() {
            let table = url::form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20");
            asked.push(mine(&node, "GET", &format!("/storage/db/read/{table}"), ""));
        }
        for answer in asked {
            assert!(matches!(answer.status, 404 | 422), "{name}: {answer:?}");
        }
    }
    // Values are values.
    for value in evil {
        let found = mine(
            &node,
            "GET",
            &format!("/storage/db/read/t?options={}", encode(&json!({ "conditions": [{ "a": value }] }))),
            "",
        );
        assert_eq!(found.json(), json!([]), "{value}");
    }
    let default = json!({ "schema": { "a": { "type": "text", "default": "'); DROP TABLE t; --" } } });
    assert_eq!(mine(&node, "POST", "/storage/db/create/d", &form(default)).status, 200);
    assert_eq!(mine(&node, "POST", "/storage/db/create/d", &form(json!({ "data": {} }))).status, 200);
    assert_eq!(mine(&node, "GET", "/storage/db/read/d", "").json(), json!([{ "a": "'); DROP TABLE t; --" }]));
    let deep = format!("{{\"data\":{{\"a\":{}{}}}}}", "[".repeat(5000), "]".repeat(5000));
    let deep: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("data", &deep).finish();
    assert_eq!(mine(&node, "POST", "/storage/db/create/t", &deep).status, 422);
    let long = json!({ "data": { "v": vec![0.5; 20_000] } });
    assert_eq!(create(long).status, 422);
    assert_eq!(mine(&node, "GET", "/storage/db/read/t", "").json(), json!([{ "a": "kept", "v": "[1,2]" }]));
}

#[test]
fn uploads_are_judged_before_they_are_read_and_are_whole_or_not_at_all() {
    let node = TestNode::start(&[]);
    let url = format!("{}/storage/fs/create/a", node.url);
    let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--b--\r\n";
    let kind = ("content-type", "multipart/form-data; boundary=b");
    let with = |headers: &[(&str, &str)], body: &str| send("POST", &url, &[&[kind], headers].concat(), body).status;
    let sign = |body: &str| signed(&node.key(), "POST", &url, body);
    let promise = |body: &str| {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let digest = hex::decode(body_digest(body.as_bytes())).expect("hex");
        format!("sha-256=:{}:", STANDARD.encode(digest))
    };
    let stranger = signed(&SecretKey::generate(), "POST", &url, body);
    let other = body.replace("hello", "hullo");
    assert_eq!(with(&[], body), 401);
    assert_eq!(with(&[("authorization", &stranger), ("content-digest", &promise(body))], body), 403);
    assert_eq!(with(&[("authorization", &sign(body)), ("content-digest", &promise(body))], &other), 401);
    assert_eq!(with(&[("authorization", &sign(body)), ("content-digest", &promise(&other))], &other), 401);
    assert_eq!(with(&[("authorization", &sign(body))], &other), 401);
    assert_eq!(with(&[("authorization", &sign(&body[..80]))], &body[..80]), 422, "half a form");
    let two = format!("{}{body}", body.trim_end_matches("--\r\n").to_owned() + "\r\n");
    assert_eq!(with(&[("authorization", &sign(&two))], &two), 422, "two files");
    assert_eq!(kept(&node), Vec::<String>::new());
    let header = sign(body);
    let good = [("authorization", header.as_str()), ("content-digest", &promise(body))];
    assert_eq!(with(&good, body), 200);
    assert_eq!(with(&good, body), 401, "sent before");
    assert_eq!(mine(&node, "GET", "/storage/fs/read/a/a.txt", "").text, "hello");
}

#[test]
fn writers_at_the_same_time_do_not_disturb_each_other() {
    let node = TestNode::start(&[]);
    let token = node.token(600);
    assert_eq!(storage(&node, &["db", "create", "t", "--schema", "{\"n\": \"integer\"}"]).code, Some(0));
    std::thread::scope(|scope| {
        for number in 0..16 {
            let (node, token) = (&node, &token);
            scope.spawn(move || {
                let content = number.to_string().repeat(50_000).into_bytes();
                assert_eq!(upload(node, token, "/storage/fs/create/a", "same.txt", content).0, 200);
                let name = format!("{number}.txt");
                assert_eq!(upload(node, token, &format!("/storage/fs/create/b/{number}"), &name, b"x".to_vec()).0, 200);
                assert_eq!(upload(node, token, "/storage/ipfs/create/x", &name, b"same".to_vec()).0, 200);
                let body = format!("data=%7B%22data%22%3A%7B%22n%22%3A{number}%7D%7D");
                assert_eq!(mine(node, "POST", "/storage/db/create/t", &body).status, 200);
            });
        }
    });
    let last = mine(&node, "GET", "/storage/fs/read/a/same.txt", "").text;
    assert!((0..16).any(|number| last == number.to_string().repeat(50_000)), "one of them, as a whole");
    assert_eq!(result(&node, &["fs", "list", "b"]).as_array().expect("a list").len(), 16);
    assert_eq!(result(&node, &["db", "list", "t"])["metadata"]["custom"]["total"], 16);
    assert_eq!(result(&node, &["ipfs", "list"]).as_array().expect("a list").len(), 1);
}

#[test]
fn a_full_disk_and_a_sudden_end_leave_nothing_half_done() {
    for kind in ["full", "kill"] {
        for (point, command) in [
            ("storage.received", vec!["fs", "create", "a", "--file", "a.txt"]),
            ("storage.unpacked", vec!["fs", "create", "a", "--file", "a.zip"]),
            ("storage.content", vec!["ipfs", "create", "--file", "a.txt"]),
            ("storage.insert", vec!["db", "create", "t", "--data", "{\"a\": \"x\"}"]),
        ] {
            let mut sandbox = Sandbox::new();
            sandbox.set("NAPT_CACHE_DIR", &cache());
            sandbox.set("NAPT_HTTP_RETRIES", "0");
            sandbox.set("FAILPOINTS", &format!("{point}=return({kind})"));
            let mut node = TestNode::start_in(sandbox, &[]);
            node.sandbox.write("a.txt", "hello");
            std::fs::write(node.sandbox.work().join("a.zip"), zip(&[("b.txt", b"b")])).expect("a file");
            storage(&node, &["db", "create", "t", "--schema", "{\"a\": \"text\"}"]).expect(0);
            let broken = storage(&node, &command);
            assert_ne!(broken.code, Some(0), "{point}");
            if kind == "full" {
                assert!(broken.stderr.contains("the node's disk is full"), "{point}: {}", broken.stderr);
            }
            node.kill();
            node.sandbox.set("FAILPOINTS", "");
            node.fsck();
            node.restart();
            assert_eq!(kept(&node), Vec::<String>::new(), "{point} {kind}");
            assert_eq!(result(&node, &["db", "read", "t"]), json!([]), "{point} {kind}");
            storage(&node, &command).expect(0);
        }
    }
}
