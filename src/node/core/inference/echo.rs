//! The built-in model: the same in, the same out, with nothing to install.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Answer, ECHO, Endpoint, NodeError, OnUsed, Used,
    stream::{DONE, event},
};
use crate::identity::random_hex;

/// How long its embeddings are unless told otherwise, and at the most.
const DIMENSIONS: usize = 256;
const MAX_DIMENSIONS: usize = 4096;

/// How many texts it embeds at once, and how many numbers it answers with.
const MAX_TEXTS: usize = 2048;
const MAX_NUMBERS: usize = 1 << 20;

/// The longest text that it streams: an event a word is many times as long.
const MAX_STREAMED: usize = 1 << 20;

pub(super) fn answer(endpoint: Endpoint, request: &Map<String, Value>, on_used: OnUsed) -> Result<Answer, NodeError> {
    let (answer, prompt, completion) = match endpoint {
        Endpoint::Embeddings => {
            let (answer, words) = embeddings(request)?;
            (Answer::Whole(answer), words, 0)
        }
        Endpoint::Chat | Endpoint::Completions => {
            let said = if endpoint == Endpoint::Chat { last_message(request)? } else { prompt(request)? };
            let words = words(&said);
            let is_streamed = request.get("stream").and_then(Value::as_bool) == Some(true);
            if is_streamed && said.len() > MAX_STREAMED {
                return Err(NodeError::TooLarge(format!("`{ECHO}` streams at most {} KiB", MAX_STREAMED >> 10)));
            }
            let answer = if is_streamed {
                let with_usage = request.get("stream_options").is_some_and(|options| options["include_usage"] == true);
                Answer::Stream(Box::pin(futures_util::stream::iter(chunks(endpoint, &said, with_usage))))
            } else {
                Answer::Whole(whole(endpoint, &said))
            };
            (answer, words, words)
        }
    };
    on_used(Used {
        provider: "napt".to_owned(),
        model: ECHO.to_owned(),
        prompt_tokens: Some(prompt),
        completion_tokens: Some(completion),
    });
    Ok(answer)
}

fn missing(key: &str) -> NodeError {
    NodeError::Invalid(format!("`{key}` is missing"))
}

/// Its tokens are words.
fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

fn last_message(request: &Map<String, Value>) -> Result<String, NodeError> {
    let messages = request.get("messages").and_then(Value::as_array).ok_or_else(|| missing("messages"))?;
    let last = messages.iter().rev().find(|message| message["role"] == "user");
    Ok(match last.map(|message| &message["content"]) {
        Some(Value::String(text)) => text.clone(),
        // Text among pictures and the like.
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    })
}

fn prompt(request: &Map<String, Value>) -> Result<String, NodeError> {
    match request.get("prompt") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(texts)) if texts.len() == 1 && texts[0].is_string() => {
            Ok(texts[0].as_str().unwrap_or_default().to_owned())
        }
        Some(_) => Err(NodeError::Invalid(format!("`{ECHO}` takes one text as `prompt`"))),
        None => Err(missing("prompt")),
    }
}

/// What all answers of an endpoint have: an id, the kind of object, when, which model.
fn head(object: &str, prefix: &str) -> Map<String, Value> {
    let head = json!({
        "id": format!("{prefix}-{}", random_hex(12)), "object": object,
        "created": Timestamp::now().as_second(), "model": ECHO,
    });
    head.as_object().cloned().unwrap_or_default()
}

fn usage(said: &str) -> Value {
    let words = words(said);
    json!({ "prompt_tokens": words, "completion_tokens": words, "total_tokens": 2 * words })
}

fn whole(endpoint: Endpoint, said: &str) -> Value {
    let (mut answer, mut choice) = match endpoint {
        Endpoint::Completions => (head("text_completion", "cmpl"), json!({ "text": said })),
        _ => (head("chat.completion", "chatcmpl"), json!({ "message": { "role": "assistant", "content": said } })),
    };
    choice["index"] = 0.into();
    choice["finish_reason"] = "stop".into();
    answer.insert("choices".to_owned(), json!([choice]));
    answer.insert("usage".to_owned(), usage(said));
    Value::Object(answer)
}

/// The answer word by word.
fn chunks(endpoint: Endpoint, said: &str, with_usage: bool) -> Vec<Bytes> {
    let head = match endpoint {
        Endpoint::Completions => head("text_completion", "cmpl"),
        _ => head("chat.completion.chunk", "chatcmpl"),
    };
    let chunk = |choices: Value| {
        let mut chunk = head.clone();
        chunk.insert("choices".to_owned(), choices);
        chunk
    };
    let choice = |piece: Option<&str>| match (endpoint, piece) {
        (Endpoint::Completions, piece) => json!({
            "index": 0, "text": piece.unwrap_or_default(), "finish_reason": piece.is_none().then_some("stop"),
        }),
        (_, Some(piece)) => {
            json!({ "index": 0, "delta": { "role": "assistant", "content": piece }, "finish_reason": null })
        }
        (_, None) => json!({ "index": 0, "delta": {}, "finish_reason": "stop" }),
    };
    let pieces = said.split_inclusive(char::is_whitespace).map(Some).chain([None]);
    let mut events: Vec<Bytes> = pieces.map(|piece| event(&Value::Object(chunk(json!([choice(piece)]))))).collect();
    if with_usage {
        let mut last = chunk(json!([]));
        last.insert("usage".to_owned(), usage(said));
        events.push(event(&Value::Object(last)));
    }
    events.push(Bytes::from_static(DONE));
    events
}

fn embeddings(request: &Map<String, Value>) -> Result<(Value, u64), NodeError> {
    let wrong = || NodeError::Invalid(format!("`input` is a text, or a list of up to {MAX_TEXTS} texts"));
    let texts: Vec<&str> = match request.get("input") {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(texts)) if texts.len() <= MAX_TEXTS => {
            texts.iter().map(|text| text.as_str().ok_or_else(wrong)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong()),
        None => return Err(missing("input")),
    };
    let dimensions = match request.get("dimensions") {
        None => DIMENSIONS,
        Some(given) => given
            .as_u64()
            .and_then(|given| usize::try_from(given).ok())
            .filter(|given| (1..=MAX_DIMENSIONS).contains(given))
            .ok_or_else(|| NodeError::Invalid(format!("`dimensions` is a number from 1 to {MAX_DIMENSIONS}")))?,
    };
    if texts.len() * dimensions > MAX_NUMBERS {
        return Err(NodeError::TooLarge(format!("`{ECHO}` answers with at most {MAX_NUMBERS} numbers at once")));
    }
    let in_base64 = request.get("encoding_format").is_some_and(|format| format == "base64");
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = embedding(text, dimensions);
            let vector = if in_base64 {
                STANDARD.encode(vector.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>()).into()
            } else {
                json!(vector)
            };
            json!({ "object": "embedding", "index": index, "embedding": vector })
        })
        .collect();
    let words = texts.iter().map(|text| words(text)).sum();
    let usage = json!({ "prompt_tokens": words, "total_tokens": words });
    Ok((json!({ "object": "list", "model": ECHO, "data": data, "usage": usage }), words))
}

/// A vector of length 1 whose directions are the text's words, so that texts with words in common are near each other.
fn embedding(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0_f32; dimensions];
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    for word in words.map(str::to_lowercase).chain(std::iter::once(String::new())) {
        let digest = Sha256::digest(&word);
        let number = u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
        let at = usize::try_from(number % dimensions as u64).unwrap_or_default();
        vector[at] += if digest[8] & 1 == 0 { 1.0 } else { -1.0 };
    }
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|number| *number /= length);
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_of_texts_with_words_in_common_are_near() {
        let near = |a: &str, b: &str| -> f32 {
            embedding(a, DIMENSIONS).iter().zip(embedding(b, DIMENSIONS)).map(|(a, b)| a * b).sum()
        };
        assert!((near("a hot dog", "A hot dog!") - 1.0).abs() < 1e-6);
        assert!(near("a hot dog", "a hot cat") > near("a hot dog", "some other words"));
        assert_eq!(embedding("a hot dog", 8).len(), 8);
    }
}
