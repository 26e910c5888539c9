//! What modules and their configuration are refused for.

use napt::{
    check::CheckError,
    config::{ConfigError, PersonaError},
    context::{Key, SettingsError, Source},
    identity::{KeyError, RequestSignatureError, StoreError, TokenError},
    module::{HostPatternError, IdError, ManifestError, ModuleType, NameError, NativeError, ProjectError},
    report::Failure,
    scaffold::ScaffoldError,
    wire::EnvelopeError,
};

use super::{disk, id, json_error, path, room, toml_error, words};

room! { identity:
    KeyError [Failure::from] {
        KeyError::Secret => KeyError::Secret,
        KeyError::Public => KeyError::Public,
        KeyError::Signature => KeyError::Signature,
    }
    TokenError [Failure::from] { TokenError => TokenError }
    StoreError [Failure::from] {
        StoreError::Io(_) => StoreError::Io(disk()),
        StoreError::Key { .. } => StoreError::Key { path: path("config/identity.key"), error: KeyError::Secret },
        StoreError::Exposed { .. } => StoreError::Exposed { path: path("config/identity.key"), mode: 0o644 },
        StoreError::Credentials(_) => StoreError::Credentials(path("config/credentials.toml")),
    }
    RequestSignatureError [Failure::from] {
        RequestSignatureError::Malformed => RequestSignatureError::Malformed,
        RequestSignatureError::Mismatch(_) => RequestSignatureError::Mismatch(KeyError::Signature),
        RequestSignatureError::Time(_) => RequestSignatureError::Time(412),
    }
    EnvelopeError [Failure::from] {
        EnvelopeError::Malformed => EnvelopeError::Malformed,
        EnvelopeError::Signature => EnvelopeError::Signature,
        EnvelopeError::WrongNode => EnvelopeError::WrongNode,
        EnvelopeError::WrongCall => EnvelopeError::WrongCall,
        EnvelopeError::Expired => EnvelopeError::Expired,
    }
}

room! { module:
    NameError [Failure::from] {
        NameError::Empty => NameError::Empty,
        NameError::TooLong(_) => NameError::TooLong("a".repeat(20)),
        NameError::BadStart(_) => NameError::BadStart("9lives".to_owned()),
        NameError::BadCharacter { .. } => NameError::BadCharacter { name: "a b".to_owned(), character: ' ' },
        NameError::Reserved { .. } => NameError::Reserved { name: "con".to_owned(), reason: "a device on Windows" },
    }
    IdError [Failure::from] {
        IdError::UnknownType(_) => IdError::UnknownType("agnt".to_owned()),
        IdError::Name(_) => IdError::Name(NameError::Empty),
        IdError::Requirement { .. } => IdError::Requirement {
            spec: "agent:a@x".to_owned(),
            given: "x".to_owned(),
            reason: "unexpected character 'x'".to_owned(),
        },
    }
    HostPatternError [Failure::from] {
        HostPatternError::Every => HostPatternError::Every,
        HostPatternError::TooMany(_) => HostPatternError::TooMany("*.com".to_owned()),
        HostPatternError::Address(_) => HostPatternError::Address("10.0.0.1".to_owned()),
        HostPatternError::Url(_) => HostPatternError::Url("https://api.example.com/v1".to_owned()),
        HostPatternError::Name(_) => HostPatternError::Name("bücher.example".to_owned()),
        HostPatternError::Port(_) => HostPatternError::Port("http".to_owned()),
    }
    NativeError [Failure::from] {
        NativeError::Io(_) => NativeError::Io(disk()),
        NativeError::Syntax { .. } => NativeError::Syntax { path: path("m/pyproject.toml"), error: toml_error() },
        NativeError::Cargo { .. } => NativeError::Cargo {
            path: path("m/Cargo.toml"),
            reason: "no targets specified in the manifest".to_owned(),
        },
        NativeError::NeedsCargo { .. } => NativeError::NeedsCargo { path: path("m/Cargo.toml"), key: "version" },
        NativeError::NoPackage(_) => NativeError::NoPackage(path("m/Cargo.toml")),
    }
    ManifestError [Failure::from] {
        ManifestError::Syntax { .. } => ManifestError::Syntax { path: path("m/napt.toml"), error: toml_error() },
        ManifestError::NoModule(_) => ManifestError::NoModule(path("m/napt.toml")),
        ManifestError::Missing { .. } => ManifestError::Missing { path: path("m/napt.toml"), key: "version" },
        ManifestError::Invalid { .. } => ManifestError::Invalid {
            path: path("m/napt.toml"),
            key: "limits.memory".to_owned(),
            reason: "`lots` is not a size".to_owned(),
        },
        ManifestError::Name { .. } => ManifestError::Name {
            path: path("m/napt.toml"),
            error: NameError::BadStart("9lives".to_owned()),
        },
        ManifestError::Dependency { .. } => ManifestError::Dependency {
            path: path("m/napt.toml"),
            key: "agnt:a".to_owned(),
            error: IdError::UnknownType("agnt".to_owned()),
        },
        ManifestError::Io(_) => ManifestError::Io(disk()),
        ManifestError::Native(_) => ManifestError::Native(NativeError::Io(disk())),
    }
    ProjectError [Failure::from] {
        ProjectError::NoFolder(_) => ProjectError::NoFolder(path("nowhere")),
        ProjectError::NotFound(_) => ProjectError::NotFound(path("/home/ada/notes")),
        ProjectError::NotAdopted(_) => ProjectError::NotAdopted(path("/home/ada/greeter")),
        ProjectError::NoMember { .. } => ProjectError::NoMember {
            path: path("napt.toml"),
            pattern: "modules/*".to_owned(),
        },
        ProjectError::Duplicate { .. } => ProjectError::Duplicate {
            id: id("agent:a"),
            first: path("modules/a"),
            second: path("modules/b"),
        },
        ProjectError::Unknown { .. } => ProjectError::Unknown {
            given: "chater".to_owned(),
            members: words(&["agent:chatter", "kb:notes"]),
        },
        ProjectError::Ambiguous { .. } => ProjectError::Ambiguous {
            given: "notes".to_owned(),
            members: words(&["memory:notes", "kb:notes"]),
        },
        ProjectError::Manifest(_) => ProjectError::Manifest(ManifestError::NoModule(path("m/napt.toml"))),
        ProjectError::Io(_) => ProjectError::Io(disk()),
    }
}

room! { config:
    ConfigError [Failure::from] {
        ConfigError::Io(_) => ConfigError::Io(disk()),
        ConfigError::Syntax { .. } => ConfigError::Syntax {
            path: path("m/configs/deployment.json"),
            error: json_error(),
        },
        ConfigError::UnknownName { .. } => ConfigError::UnknownName {
            module: "agent:a".to_owned(),
            what: "deployment",
            given: "defalt".to_owned(),
            known: words(&["default", "small"]),
        },
        ConfigError::UnknownModule(_) => ConfigError::UnknownModule("agent:b".to_owned()),
        ConfigError::UnknownPersona { .. } => ConfigError::UnknownPersona {
            module: id("agent:a"),
            persona: "ada".to_owned(),
        },
        ConfigError::NoPersona(_) => ConfigError::NoPersona(id("agent:a")),
        ConfigError::NoModule { .. } => ConfigError::NoModule { list: "agent_deployments", index: 1 },
        ConfigError::WrongType { .. } => ConfigError::WrongType {
            list: "agent_deployments",
            index: 1,
            given: "kb:notes".to_owned(),
            expected: ModuleType::Agent,
        },
        ConfigError::TooDeep(_) => ConfigError::TooDeep("orchestrator:debate".to_owned()),
        ConfigError::TooMany(_) => ConfigError::TooMany("orchestrator:debate".to_owned()),
        ConfigError::Shape(_) => ConfigError::Shape(json_error()),
        ConfigError::Cycle(_) => ConfigError::Cycle("orchestrator:debate".to_owned()),
    }
    PersonaError [Failure::from] {
        PersonaError::Outside(_) => PersonaError::Outside("../ada.json".to_owned()),
        PersonaError::Missing(_) => PersonaError::Missing("ada.json".to_owned()),
        PersonaError::Io { .. } => PersonaError::Io { file: "ada.json".to_owned(), error: disk() },
        PersonaError::TooLarge { .. } => PersonaError::TooLarge { file: "ada.json".to_owned(), size: 9_000_000 },
        PersonaError::Format(_) => PersonaError::Format("ada.txt".to_owned()),
        PersonaError::Syntax { .. } => PersonaError::Syntax {
            file: "ada.json".to_owned(),
            reason: "it is not an object".to_owned(),
        },
    }
}

room! { settings:
    SettingsError [Failure::from] {
        SettingsError::Io(_) => SettingsError::Io(disk()),
        SettingsError::Private(_) => {
            SettingsError::Private(StoreError::Exposed { path: path("config/config.toml"), mode: 0o664 })
        },
        SettingsError::Syntax { .. } => SettingsError::Syntax {
            place: Source::File { path: path(".napt/config.toml"), line: Some(3) },
            reason: "key with no value, expected `=`".to_owned(),
        },
        SettingsError::UnknownKey { .. } => SettingsError::UnknownKey {
            given: "regsitry".to_owned(),
            place: Some(Source::File { path: path(".napt/config.toml"), line: Some(3) }),
        },
        SettingsError::NotText { .. } => SettingsError::NotText {
            key: Key::Node,
            place: Source::File { path: path(".napt/config.toml"), line: Some(1) },
        },
        SettingsError::Value { .. } => SettingsError::Value {
            key: Key::Registry,
            expected: "the URL of a registry",
            value: "nonsense".to_owned(),
            from: Source::Variable("NAPT_REGISTRY"),
        },
        SettingsError::UnknownRegistry { .. } => SettingsError::UnknownRegistry {
            name: "intrnal".to_owned(),
            from: Source::Flag,
            known: words(&["internal"]),
        },
        SettingsError::Secret { .. } => SettingsError::Secret {
            key: Key::ProviderKey,
            path: path(".napt/config.toml"),
        },
        SettingsError::Providers { .. } => SettingsError::Providers { path: path(".napt/config.toml") },
    }
}

room! { check:
    CheckError [Failure::from] {
        CheckError::NotFound(_) => CheckError::NotFound(path("/home/ada/notes")),
        CheckError::Folder(_) => CheckError::Folder(ProjectError::NoFolder(path("nowhere"))),
        CheckError::Io(_) => CheckError::Io(disk()),
        CheckError::Dirty(_) => CheckError::Dirty(words(&["napt.toml", "README.md"])),
        CheckError::NoRepository(_) => CheckError::NoRepository(path("/home/ada/notes")),
        CheckError::Git(_) => CheckError::Git(git2::Error::from_str("the index is locked")),
    }
}

room! { scaffold:
    ScaffoldError [Failure::from] {
        ScaffoldError::UnknownType(_) => ScaffoldError::UnknownType("agnt".to_owned()),
        ScaffoldError::NotBare(_) => ScaffoldError::NotBare(ModuleType::Agent),
        ScaffoldError::NotInRust(_) => ScaffoldError::NotInRust(ModuleType::Kb),
        ScaffoldError::Name(_) => ScaffoldError::Name(NameError::BadStart("9lives".to_owned())),
        ScaffoldError::PartName { .. } => ScaffoldError::PartName {
            part: "agent".to_owned(),
            name: "a_agent".to_owned(),
            error: NameError::TooLong("a".repeat(20)),
        },
        ScaffoldError::UnknownVariable { .. } => ScaffoldError::UnknownVariable {
            given: "ruonds".to_owned(),
            template: "orchestrator".to_owned(),
            variables: words(&["author", "rounds"]),
        },
        ScaffoldError::Value { .. } => ScaffoldError::Value {
            variable: "rounds".to_owned(),
            given: "many".to_owned(),
            reason: "it must be a whole number from 1 to 1000".to_owned(),
        },
        ScaffoldError::At { .. } => ScaffoldError::At {
            place: "values.toml".to_owned(),
            error: Box::new(ScaffoldError::Values("`rounds` is a list".to_owned())),
        },
        ScaffoldError::Values(_) => ScaffoldError::Values("`rounds` is a list".to_owned()),
        ScaffoldError::ValuesFormat(_) => ScaffoldError::ValuesFormat(path("values.txt")),
        ScaffoldError::NoWorkspace(_) => ScaffoldError::NoWorkspace(path("/home/ada/notes")),
        ScaffoldError::Members { .. } => ScaffoldError::Members {
            path: path("napt.toml"),
            reason: "`members` is not a list".to_owned(),
        },
        ScaffoldError::Defined { .. } => ScaffoldError::Defined { id: id("agent:a"), folder: path("modules/a") },
        ScaffoldError::Project(_) => ScaffoldError::Project(ProjectError::NotFound(path("/home/ada/notes"))),
        ScaffoldError::Taken(_) => ScaffoldError::Taken(path("debate")),
        ScaffoldError::Ask(_) => ScaffoldError::Ask(disk()),
        ScaffoldError::Io(_) => ScaffoldError::Io(disk()),
        ScaffoldError::Git(_) => ScaffoldError::Git(git2::Error::from_str("no such object")),
        ScaffoldError::Broken { .. } => ScaffoldError::Broken {
            place: "agent/template.toml".to_owned(),
            reason: "missing field `name`".to_owned(),
        },
    }
}
