//! `napt check`, rule by rule: the module's code. A hit with what a person sees, and a near miss that nothing is said about.

use snapbox::{assert_data_eq, str};

use super::Module;

#[test]
fn entry_signature() {
    let m = Module::good();
    m.edit("debate/run.py", r#"module_run: dict"#, r#"module_run: dict, *args, level=1, **kwargs"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/run.py", r#"module_run: dict"#, r#"prompt, model"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[entry-signature]: `run` does not take `module_run`
 --> debate/run.py:3:11
  |
3 | async def run(prompt, model):
  |           ^^^ nodes call `run(module_run=…)`
  |
  = help: write `async def run(module_run: dict)`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn entry_signature_more_than_nodes_give() {
    let m = Module::good();
    m.edit("debate/run.py", r#"module_run: dict"#, r#"**kwargs"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/run.py", r#"module_run: dict"#, r#"module_run: dict, config"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[entry-signature]: `run` requires `config` besides `module_run`
 --> debate/run.py:3:33
  |
3 | async def run(module_run: dict, config):
  |                                 ^^^^^^ nodes call `run(module_run=…)`
  |
  = help: give it a default, or remove it

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn entry_signature_by_position_only() {
    let m = Module::good();
    m.edit("debate/run.py", r#"module_run: dict"#, r#"a=1, /, module_run=None"#);
    m.passes();
    let m = Module::good();
    m.edit("debate/run.py", r#"module_run: dict"#, r#"module_run, /"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[entry-signature]: `run` does not take `module_run`
 --> debate/run.py:3:11
  |
3 | async def run(module_run, /):
  |           ^^^ ---------- this one cannot be given by name
  |           |
  |           nodes call `run(module_run=…)`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_entry_function() {
    let m = Module::good();
    m.write(
        "debate/run.py",
        r#"try:
    from .core import go as run
except ImportError:
    raise
"#,
    );
    m.passes();
    let m = Module::good();
    m.edit("debate/run.py", r#"def run"#, r#"def rum"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-entry-function]: `run.py` does not define `run`
--> debate/run.py
 = help: rename `rum` to `run`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_entrypoint() {
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#"name = "debate"\nentrypoint = "main.py""#);
    m.write(
        "debate/main.py",
        r#"async def main(module_run):
    return 1
"#,
    );
    m.passes();
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#"name = "debate"\nentrypoint = "rum.py""#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-entrypoint]: the entrypoint `debate/rum.py` does not exist
 --> napt.toml:4:14
  |
4 | entrypoint = "rum.py"
  |              ^^^^^^^^
  |
  = help: did you mean `run.py`?

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_input_schema() {
    let m = Module::good();
    m.write(
        "debate/schemas.py",
        r#"from .shapes import Input as InputSchema
"#,
    );
    m.passes();
    let m = Module::good();
    m.edit("debate/schemas.py", r#"InputSchema"#, r#"InputSchem"#);
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-input-schema]: `schemas.py` does not define `InputSchema`
--> debate/schemas.py
 = note: a node validates inputs with it
 = help: rename `InputSchem` to `InputSchema`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_input_schema_file() {
    let m = Module::good();
    m.edit("debate/schemas.py", r#"prompt: str"#, r#"prompt: int"#);
    m.passes();
    let m = Module::good();
    m.remove("debate/schemas.py");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-input-schema]: the package has no `schemas.py`
 --> napt.toml:3:8
  |
3 | name = "debate"
  |        ^^^^^^^^
  |
  = note: a node validates inputs with the class `InputSchema` in it
  = help: write `debate/schemas.py` with a pydantic class `InputSchema`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn missing_package() {
    let m = Module::good();
    m.edit("napt.toml", r#"name = "debate""#, r#"name = "debate"\nruntime = "python""#);
    m.passes();
    let m = Module::good();
    m.rename("debate", "debat");
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[missing-package]: there is no package folder `debate`
 --> napt.toml:3:8
  |
3 | name = "debate"
  |        ^^^^^^^^
  |
  = help: rename the folder `debat` to `debate`, or the module to `debat`

error: 1 error, 0 warnings in 1 module

"#]]
    );
}

#[test]
fn python_syntax() {
    let m = Module::good();
    m.write(
        "debate/more.py",
        r#"match 1:
    case 1:
        x = f"{1!r:>{10}}"
print(x)
"#,
    );
    m.passes();
    let m = Module::good();
    m.write(
        "debate/more.py",
        r#"def go(x)
    return x
"#,
    );
    m.write(
        "debate/old.py",
        r#"def go(x):
    print "x"
"#,
    );
    assert_data_eq!(
        m.told(3),
        str![[r#"
error[python-syntax]: cannot read `more.py` as Python 3
 --> debate/more.py:1:1
  |
1 | def go(x)
  | ^^^^^^^^^ invalid syntax

error[python-syntax]: cannot read `old.py` as Python 3
 --> debate/old.py:2:5
  |
2 |     print "x"
  |     ^^^^^^^^^ this is Python 2
  |
  = help: `print` and `exec` are functions: put what follows in parentheses

error: 2 errors, 0 warnings in 1 module

"#]]
    );
}
