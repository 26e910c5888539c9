//! The agent: it answers with the language model of its deployment, in the role of its system prompt.

// Not every module needs all of the client.
#[allow(dead_code)]
mod napt;

use std::process::ExitCode;

use napt::Run;
use serde::Deserialize;
use serde_json::{json, Value};

/// `prompt` is a question, or the topic of a conversation; `history` is what was said so far, oldest first.
#[derive(Deserialize)]
struct Inputs {
    prompt: String,
    #[serde(default)]
    history: Vec<Turn>,
    #[serde(default = "first")]
    round: usize,
}

/// Something that was said.
#[derive(Deserialize)]
struct Turn {
    speaker: String,
    text: String,
}

fn first() -> usize {
    1
}

fn main() -> ExitCode {
    napt::serve(run)
}

/// Called once a run.
fn run(run: &Run) -> napt::Result<String> {
    let messages = compose(&run.inputs()?, &run.config()["system_prompt"], run.name());
    run.infer(&messages)
}

/// The messages for the model: who it is, what was said, and what to answer.
fn compose(inputs: &Inputs, system_prompt: &Value, speaker: &str) -> Vec<Value> {
    let points: Vec<&str> = system_prompt["points"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let role = system_prompt["role"]
        .as_str()
        .unwrap_or("a helpful assistant");
    let instructions = system_prompt["instructions"].as_str().unwrap_or_default();
    let mut system = format!("You are {role}. {instructions}");
    if !system_prompt["persona"].is_null() {
        system += &format!("\nThis is who you are: {}", system_prompt["persona"]);
    }
    if !points.is_empty() {
        system += &format!(
            "\nYou take turns with others on this topic: {}\nThe last message is a draft of your next turn. Say it in your \
             own words, as an answer to the turn before it, and say nothing else.",
            inputs.prompt
        );
    }
    let mut messages = vec![json!({ "role": "system", "content": system.trim() })];
    messages.extend(
        inputs
            .history
            .iter()
            .map(|turn| match turn.speaker == speaker {
                true => json!({ "role": "assistant", "content": turn.text }),
                false => {
                    json!({ "role": "user", "content": format!("{}: {}", turn.speaker, turn.text) })
                }
            }),
    );
    let last = if points.is_empty() {
        inputs.prompt.clone()
    } else {
        draft(inputs, &points)
    };
    messages.push(json!({ "role": "user", "content": last }));
    messages
}

/// The next turn in plain words: takes up what was said last, then makes this round's point.
fn draft(inputs: &Inputs, points: &[&str]) -> String {
    let (lap, index) = (
        (inputs.round.max(1) - 1) / points.len(),
        (inputs.round.max(1) - 1) % points.len(),
    );
    let point = match lap {
        0 => points[index].to_owned(),
        _ => format!("Once more, and closer ({}): {}", lap + 1, points[index]),
    };
    match inputs.history.last() {
        None => format!("{} {point}", inputs.prompt),
        Some(last) => format!(
            "{}, you say: '{}' {point}",
            last.speaker,
            last_sentence(&last.text)
        ),
    }
}

/// The last sentence of a text, without what quotes it.
fn last_sentence(text: &str) -> &str {
    let text = text.trim();
    let ends = [". ", "? ", "! ", ".' ", "?' ", "!' "];
    let start = ends
        .iter()
        .filter_map(|end| text.rfind(end).map(|at| at + end.len()))
        .max();
    &text[start.unwrap_or(0)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(value: Value) -> Inputs {
        serde_json::from_value(value).expect("inputs")
    }

    #[test]
    fn own_turns_and_those_of_others_are_told_apart() {
        let said =
            json!([{ "speaker": "me", "text": "Tea." }, { "speaker": "you", "text": "Why?" }]);
        let messages = compose(
            &inputs(json!({ "prompt": "Tea?", "history": said })),
            &json!({ "role": "me" }),
            "me",
        );
        let roles: Vec<&str> = messages
            .iter()
            .filter_map(|message| message["role"].as_str())
            .collect();
        assert_eq!(roles, ["system", "assistant", "user", "user"]);
    }

    #[test]
    fn each_round_makes_its_own_point() {
        let points = ["First we listen.", "Then we decide."];
        let said = json!([{ "speaker": "Ann", "text": "Bob, you say: 'Yes.' But why?" }]);
        let turn = |round: usize| {
            draft(
                &inputs(json!({ "prompt": "Tea?", "history": said, "round": round })),
                &points,
            )
        };
        assert_eq!(
            draft(&inputs(json!({ "prompt": "Tea?" })), &points),
            "Tea? First we listen."
        );
        assert_eq!(turn(2), "Ann, you say: 'But why?' Then we decide.");
        assert_eq!(
            turn(3),
            "Ann, you say: 'But why?' Once more, and closer (2): First we listen."
        );
    }
}
