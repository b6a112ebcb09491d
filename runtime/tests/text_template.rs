//! Chat templates: the texts of known families, Jinja2's habits, and templates that mean harm.

mod text_support;

use apr::gguf::{Fault, ModelError};
use apr::text::{ChatTemplate, Message, Special};
use std::time::{Duration, Instant, SystemTime};
use text_support::{oracles, tokenizer};

/// 26 July 2024, noon.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_721_995_200)
}

fn chat() -> Vec<Message> {
    vec![
        Message::new("system", "Be brief."),
        Message::new("user", " Hi "),
        Message::new("assistant", "Hello."),
        Message::new("user", "2 < 3 & 'x'?"),
    ]
}

fn render(source: &str, messages: &[Message]) -> Result<String, ModelError> {
    ChatTemplate::parse(source, Some("<s>"), Some("</s>"))?.render(messages, true, now())
}

fn ok(source: &str) -> String {
    render(source, &chat()).unwrap()
}

#[track_caller]
fn refused(source: &str, parts: &[&str]) {
    let error = render(source, &chat()).unwrap_err();
    assert_eq!(error.fault(), Fault::Metadata);
    assert!(parts.iter().all(|p| error.message().contains(p)), "{error}");
    assert!(error.help().contains("--raw"), "{error}");
}

/// The form that Qwen 1.5 and many others have.
const CHATML: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] \
    + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Qwen2.5's: tools, a default system turn, and calls of tools among the assistant's turns.
const QWEN_2_5: &str = r#"{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "<|im_end|>\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou are Qwen.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\n' + message.content }}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"#;

/// Llama 3.1's: names that may be undefined, the date, slices, trimmed turns.
const LLAMA_3: &str = r#"{{- bos_token }}
{%- if not tools is defined or tools is none %}
    {%- set tools = none %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2020" %}
    {%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"#;

/// Mistral's: alternating roles or an exception, and the end token after an answer.
const ALTERNATING: &str = "{{ bos_token }}{% for message in messages %}\
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
    {{ raise_exception('Conversation roles must alternate user/assistant/...') }}{% endif %}\
    {% if message['role'] == 'user' %}{{ '[INST] ' + message['content'].strip() + ' [/INST]' }}\
    {% else %}{% generation %}{{ message['content'] + eos_token}}{%- endgeneration -%}{% endif %}{% endfor %}";

const CHATML_TEXT: &str = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n\
    <|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\n2 < 3 & 'x'?<|im_end|>\n<|im_start|>assistant\n";

#[test]
fn known_families() {
    assert_eq!(ok(CHATML), CHATML_TEXT);
    assert_eq!(ok(QWEN_2_5), CHATML_TEXT);
    let alone = render(QWEN_2_5, &[Message::new("user", "Hi")]).unwrap();
    assert!(alone.starts_with("<|im_start|>system\nYou are Qwen.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"));
    assert_eq!(
        ok(LLAMA_3),
        "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\nBe brief.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>\
         <|start_header_id|>user<|end_header_id|>\n\n2 < 3 & 'x'?<|eot_id|>\
         <|start_header_id|>assistant<|end_header_id|>\n\n"
    );
    assert_eq!(render(ALTERNATING, &chat()[1..]).unwrap(), "<s>[INST] Hi [/INST]Hello.</s>[INST] 2 < 3 & 'x'? [/INST]");
}

#[test]
fn what_the_template_raises_is_told() {
    refused(ALTERNATING, &["refuses the conversation", "roles must alternate"]);
    let inside = "{% macro check(m) %}{{ raise_exception('no ' + m.role) }}{% endmacro %}{{ check(messages[0]) }}";
    refused(inside, &["refuses the conversation", "no system"]);
}

#[test]
fn jinja2s_habits() {
    // A line break after a block and the spaces before one are no text; a last line break is not, either.
    assert_eq!(ok("a\n  {% if true %}\n b\n  {% endif %}\nc\n"), "a\n b\nc");
    assert_eq!(
        ok("{{ messages[0].content.upper().split(' ')[1] }}{{ 'ab'.startswith('a') }}").to_lowercase(),
        "brief.true"
    );
    assert_eq!(ok("{{ messages[0] | tojson }}"), r#"{"role": "system", "content": "Be brief."}"#);
    assert_eq!(ok("{{ '<é>' | tojson }}{{ [1] | tojson(indent=2) }}"), "\"<é>\"[\n  1\n]");
    assert_eq!(ok("{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{{ m.role[0] }}{% endfor %}"), "sua");
    assert_eq!(
        ok("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}"),
        "4"
    );
    assert_eq!(ok("[{{ unknown }}{{ enable_thinking is defined }}]").to_lowercase(), "[false]");
    assert_eq!(ok("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"), "2");
    assert_eq!(ok("{%- generation -%} {{ eos_token }} {%+ endgeneration %}"), "</s> ");
}

#[test]
fn broken_templates_are_errors_with_a_line() {
    refused("a\n{% if %}", &["not valid Jinja", "line 2"]);
    refused("{{ messages[0].content.nonsense() }}", &["failed", "line 1", "nonsense"]);
    refused("{{ undefined.attribute }}", &["failed", "line 1"]);
    refused("{% include '/etc/passwd' %}", &["failed"]);
    refused("{{ strftime_now('%Q') }}", &["%Q"]);
    refused("{{ [1] | tojson(indent=1000000000) }}", &["indent"]);
    let bell = render("{{ raise_exception('\x1b[2J') }}", &[]).unwrap_err();
    assert!(!bell.to_string().contains('\x1b'), "{bell}");
}

#[test]
fn endless_deep_and_huge_templates_end_in_time() {
    let start = Instant::now();
    let nested = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    refused(nested, &["does not end"]);
    let writer = "{% for a in range(99999) %}{{ 'x' * 100000 }}{% endfor %}";
    refused(writer, &["writes more than 16 MiB"]);
    refused("{{ 'x' * 99999999 }}", &["writes more than 16 MiB"]);
    refused("{{ 'x' * 999999999999 }}", &["failed"]);
    refused("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", &["recursion"]);
    refused(&format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000)), &["not valid Jinja"]);
    refused(&format!("{{{{ {}1{} }}}}", "[".repeat(100_000), "]".repeat(100_000)), &["not valid Jinja"]);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn the_bundled_models_template_gives_its_prompts() {
    let Some(folder) = oracles("the_bundled_models_template_gives_its_prompts") else { return };
    let tokenizer = tokenizer(&folder.join("models/abacus-42m-q4_k_m.gguf"));
    let template = ChatTemplate::new(tokenizer.vocabulary()).unwrap();
    let list = std::fs::read_to_string(folder.join("oracle/abacus-greedy.jsonl")).unwrap();
    for line in list.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let question = entry["question"].as_str().unwrap();
        let text = template.render(&[Message::new("user", question)], true, now()).unwrap();
        assert_eq!(text, entry["prompt"].as_str().unwrap());
    }
    // A template that brings BOS and a model that adds it make one BOS.
    let phi = text_support::tokenizer(&folder.join("tokenizer/ggml-vocab-phi-3.gguf"));
    let template = ChatTemplate::new(phi.vocabulary()).unwrap();
    let text = template.render(&[Message::new("user", "Hi")], true, now()).unwrap();
    assert_eq!(text, "<s><|user|>\nHi<|end|>\n<|assistant|>\n");
    let ids = phi.encode_prompt(&text, Special::Parse).unwrap();
    assert_eq!((ids[0], ids[1]), (1, 32010));
}

#[test]
fn a_missing_template_points_to_raw() {
    let Some(folder) = oracles("a_missing_template_points_to_raw") else { return };
    let vocabulary = text_support::read(&folder.join("tokenizer/ggml-vocab-gpt-2.gguf")).unwrap();
    let error = ChatTemplate::new(&vocabulary).unwrap_err();
    assert!(error.message().contains("tokenizer.chat_template") && error.help().contains("--raw"), "{error}");
}
