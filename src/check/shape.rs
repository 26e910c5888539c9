//! Whether a file has the shape that napt's own types give it: JSON Schemas are made of those types, made stricter,
//! and what does not fit is found again in the file.

use std::{ops::Range, sync::LazyLock};

use jsonschema::{ValidationError, Validator, error::ValidationErrorKind};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    schema::Schema,
    source::{Document, Member, Node},
};
use crate::{
    config::{DEPLOYMENT_FILE, Deployment, LLM_CONFIGS_FILE, LlmConfig, SUB_DEPLOYMENTS},
    module::{MANIFEST_FILE, ManifestFile},
    report::did_you_mean,
};

/// The files whose shape is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `napt.toml`
    Manifest,
    /// `deployment.json` and `*_deployments.json`
    Deployments,
    /// `llm_configs.json`
    LlmConfigs,
}

/// One thing that does not fit.
#[derive(Debug, Clone)]
pub(super) enum Problem {
    /// A key that means nothing, and the one that is meant for certain.
    UnknownKey { key: String, span: Range<usize>, known: Vec<String>, correction: Option<String> },
    /// A value that is missing or wrong, and what is meant for certain in its place.
    Value { span: Range<usize>, message: String, label: Option<String>, help: Option<String>, fix: Option<String> },
}

struct Checker {
    schema: Value,
    validator: Validator,
    /// The same question to the type itself, which is the authority: path and reason.
    read: fn(Value) -> Result<(), (String, String)>,
}

static MANIFEST: LazyLock<Checker> = LazyLock::new(|| Checker::of::<ManifestFile>(Schema::Manifest));
static DEPLOYMENTS: LazyLock<Checker> = LazyLock::new(|| Checker::of::<Vec<Deployment>>(Schema::Deployments));
static LLM_CONFIGS: LazyLock<Checker> = LazyLock::new(|| Checker::of::<Vec<LlmConfig>>(Schema::LlmConfigs));

impl Checker {
    fn of<T: DeserializeOwned>(schema: Schema) -> Self {
        let schema = schema.value();
        let validator = jsonschema::validator_for(&schema).expect("a schema that is made of a type is a schema");
        let read = |value: Value| {
            serde_path_to_error::deserialize::<_, T>(value).map(|_| ()).map_err(
                |error: serde_path_to_error::Error<serde_json::Error>| {
                    let pointer = error.path().iter().map(|segment| match segment {
                        serde_path_to_error::Segment::Seq { index } => format!("/{index}"),
                        serde_path_to_error::Segment::Map { key } => format!("/{key}"),
                        _ => String::new(),
                    });
                    (pointer.collect(), error.inner().to_string())
                },
            )
        };
        Checker { schema, validator, read }
    }
}

impl Shape {
    /// The shape that a file should have, by its name.
    pub(super) fn of(document: &Document) -> Option<Self> {
        let name = document.name();
        match &*name {
            MANIFEST_FILE => Some(Shape::Manifest),
            LLM_CONFIGS_FILE => Some(Shape::LlmConfigs),
            DEPLOYMENT_FILE => Some(Shape::Deployments),
            name if SUB_DEPLOYMENTS.iter().any(|(_, _, file)| *file == name) => Some(Shape::Deployments),
            _ => None,
        }
    }

    fn checker(self) -> &'static Checker {
        match self {
            Shape::Manifest => &MANIFEST,
            Shape::Deployments => &DEPLOYMENTS,
            Shape::LlmConfigs => &LLM_CONFIGS,
        }
    }

    /// Everything that does not fit.
    pub(super) fn problems(self, document: &Document) -> &[Problem] {
        document.problems.get_or_init(|| self.find_problems(document))
    }

    fn find_problems(self, document: &Document) -> Vec<Problem> {
        let Some(root) = &document.root else { return Vec::new() };
        let checker = self.checker();
        let value = root.to_json();
        let mut problems = Vec::new();
        for error in checker.validator.iter_errors(&value) {
            explain(&error, root, &checker.schema, &mut problems);
        }
        // The schema cannot say everything that the type can (ranges of numbers, for one).
        if problems.is_empty()
            && document.errors.is_empty()
            && let Err((pointer, reason)) = (checker.read)(value)
        {
            let node = root.pointer(&pointer).unwrap_or(root);
            problems.push(Problem::Value {
                span: node.span.clone(),
                message: format!("{} cannot be used", name_of(&pointer)),
                label: Some(reason),
                help: None,
                fix: None,
            });
        }
        problems
    }
}

/// `/0/config/max_rounds` as people say it.
fn name_of(pointer: &str) -> String {
    match pointer.rsplit('/').find(|token| token.parse::<usize>().is_err() && !token.is_empty()) {
        Some(key) => format!("`{}`", key.replace("~1", "/").replace("~0", "~")),
        None => "the value".to_owned(),
    }
}

fn article(kind: &str) -> String {
    if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { format!("an {kind}") } else { format!("a {kind}") }
}

fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) => article(if number.is_f64() { "number" } else { "integer" }),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Turns an error of the validator into what a person can act on.
fn explain(error: &ValidationError<'_>, root: &Node, schema: &Value, problems: &mut Vec<Problem>) {
    let pointer = error.instance_path().as_str();
    let Some(node) = root.pointer(pointer) else { return };
    let name = name_of(pointer);
    let mut problem = |message: String, label: String, help: Option<String>| {
        problems.push(Problem::Value { span: node.span.clone(), message, label: Some(label), help, fix: None });
    };
    // That there is neither `[module]` nor `[workspace]` is said better elsewhere.
    if error.schema_path().as_str() == "/anyOf" {
        return;
    }
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let parent = error.schema_path().as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
            let known = schema.pointer(parent).and_then(|schema| schema["properties"].as_object());
            let known: Vec<String> = known.map(|map| map.keys().cloned().collect()).unwrap_or_default();
            for key in unexpected {
                let span = node.member(key).map_or_else(|| node.span.clone(), |member| member.key_span.clone());
                let names: Vec<&str> = known.iter().map(String::as_str).collect();
                let correction = correction(key, &names, node.members()).map(str::to_owned);
                problems.push(Problem::UnknownKey { key: key.clone(), span, known: known.clone(), correction });
            }
        }
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            problem(format!("`{key}` is missing"), format!("`{key}` belongs here"), Some(format!("add `{key}`")));
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            alternatives(error, context, node, root, schema, problems);
        }
        ValidationErrorKind::Enum { options } => {
            choices(node, &name, options.as_array().cloned().unwrap_or_default(), problems);
        }
        ValidationErrorKind::Constant { expected_value } => {
            choices(node, &name, vec![(**expected_value).clone()], problems)
        }
        ValidationErrorKind::Type { kind } => {
            problems.push(Problem::Value {
                span: node.span.clone(),
                message: format!("{name} must be {}", expected(kind)),
                label: Some(format!("this is {}", kind_of(error.instance()))),
                help: None,
                fix: node.as_str().and_then(|text| meant(text, error, kind, schema)),
            });
        }
        ValidationErrorKind::Minimum { limit } => {
            problem(format!("{name} must be at least {limit}"), format!("less than {limit}"), None);
        }
        ValidationErrorKind::Maximum { limit } => {
            problem(format!("{name} must be at most {limit}"), format!("more than {limit}"), None);
        }
        _ => problem(format!("{name} is not valid"), error.masked().to_string(), None),
    }
}

/// A text that stands where something else is expected, as what it says: a number or a boolean without its quotes, or the
/// only element of a list of texts.
fn meant(
    text: &str,
    error: &ValidationError<'_>,
    kind: &jsonschema::error::TypeKind,
    schema: &Value,
) -> Option<String> {
    let accepts = |name: &str| match kind {
        jsonschema::error::TypeKind::Single(kind) => kind.to_string() == name,
        jsonschema::error::TypeKind::Multiple(kinds) => kinds.iter().any(|kind| kind.to_string() == name),
    };
    let is_integer = text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
    let is_number = text.parse::<f64>().is_ok_and(|number| number.to_string() == text);
    if (accepts("integer") && is_integer)
        || (accepts("number") && (is_integer || is_number))
        || (accepts("boolean") && matches!(text, "true" | "false"))
    {
        return Some(text.to_owned());
    }
    let parent = error.schema_path().as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
    let is_list = schema.pointer(parent).is_some_and(|schema| schema["items"]["type"] == "string");
    (accepts("array") && is_list).then(|| format!("[{}]", Value::from(text)))
}

/// The key that is meant for certain: the only one from which a letter is wrong, missing, too many or swapped, and which
/// is not there yet.
pub(super) fn correction<'a>(given: &str, known: &[&'a str], present: &[Member]) -> Option<&'a str> {
    let mut near = known.iter().filter(|key| given.len() > 3 && strsim::damerau_levenshtein(given, key) == 1);
    match (near.next(), near.next()) {
        (Some(key), None) => Some(*key).filter(|key| present.iter().all(|member| member.key != *key)),
        _ => None,
    }
}

/// The types that are accepted; `null` is not worth mentioning.
fn expected(kind: &jsonschema::error::TypeKind) -> String {
    let types: Vec<String> = match kind {
        jsonschema::error::TypeKind::Single(kind) => vec![kind.to_string()],
        jsonschema::error::TypeKind::Multiple(kinds) => kinds.iter().map(|kind| kind.to_string()).collect(),
    };
    let types: Vec<String> = types.iter().filter(|kind| *kind != "null").map(|kind| article(kind)).collect();
    types.join(" or ")
}

/// A value that is one of several things. When all but one of them are of another type altogether, what is wrong is
/// what that one says.
fn alternatives(
    error: &ValidationError<'_>,
    context: &[Vec<ValidationError<'static>>],
    node: &Node,
    root: &Node,
    schema: &Value,
    problems: &mut Vec<Problem>,
) {
    let here = error.instance_path().as_str();
    let mut constants = Vec::new();
    let mut types: Vec<String> = Vec::new();
    let mut others = Vec::new();
    for branch in context {
        match branch.first().map(|first| (first, first.kind())) {
            Some((first, ValidationErrorKind::Type { kind })) if first.instance_path().as_str() == here => {
                types.push(expected(kind));
            }
            Some((_, ValidationErrorKind::Constant { expected_value })) => constants.push((**expected_value).clone()),
            Some((_, ValidationErrorKind::Enum { options })) => {
                constants.extend(options.as_array().cloned().unwrap_or_default());
            }
            _ => others.push(branch),
        }
    }
    if let [branch] = others.as_slice() {
        for error in *branch {
            explain(error, root, schema, problems);
        }
        return;
    }
    let name = name_of(here);
    if constants.is_empty() {
        types.retain(|kind| !kind.is_empty());
        types.dedup();
        problems.push(Problem::Value {
            span: node.span.clone(),
            message: format!("{name} must be {}", types.join(" or ")),
            label: Some(format!("this is {}", kind_of(error.instance()))),
            help: None,
            fix: None,
        });
    } else {
        choices(node, &name, constants, problems);
    }
}

/// A value that must be one of a few words.
fn choices(node: &Node, name: &str, options: Vec<Value>, problems: &mut Vec<Problem>) {
    let words: Vec<String> =
        options.iter().map(|option| option.as_str().map_or_else(|| option.to_string(), str::to_owned)).collect();
    let list = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let form = |word: &str| word.to_lowercase().replace('-', "_");
    let same = words.iter().find(|word| node.as_str().is_some_and(|given| form(given) == form(word)));
    let near = node.as_str().and_then(|given| did_you_mean(given, words.iter().map(String::as_str)));
    problems.push(Problem::Value {
        span: node.span.clone(),
        message: format!("{name} must be one of {list}"),
        label: Some("not one of them".to_owned()),
        help: near.map(|near| format!("did you mean `{near}`?")),
        fix: same.map(|word| format!("\"{word}\"")),
    });
}
