// SPDX-License-Identifier: BSD-3-Clause
//! What `[trace]` and the variables `OTEL_…` come to: a key, else its variable, else the default.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use percent_encoding::percent_decode_str;

use crate::config::{Complaint, QUEUE_SPANS, TraceConfig, trace_root, wrong_receiver};
use crate::trace::{Parent, TraceId};

const ENDPOINT: &str = "http://127.0.0.1:4318";
const SERVICE_NAME: &str = "becket";
const QUEUE_SPANS_MAX: u64 = 2048;
const TIMEOUT_MS: u64 = 10_000;

/// What is added to an endpoint.
const PATH: &str = "/v1/traces";

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) url: Uri,
    pub(super) headers: HeaderMap,
    /// The attributes of the resource.
    pub(super) resource: Vec<KeyValue>,
    pub(super) sampler: Sampler,
    pub(super) queue_spans_max: usize,
    pub(super) timeout: Duration,
}

/// Which traces are exported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sampler {
    /// A parent decides, if there is one.
    follows_parent: bool,
    /// The share of those for which this decides.
    ratio: f64,
}

impl Sampler {
    /// As the sampler `traceidratio` of OpenTelemetry's libraries has it: all of them decide alike for one trace.
    pub(super) fn samples(self, trace: TraceId, parent: Option<Parent>) -> bool {
        match parent {
            Some(parent) if self.follows_parent => parent.is_sampled(),
            _ if self.ratio >= 1.0 => true,
            _ => (trace.low() >> 1) < (self.ratio * (1_u64 << 63) as f64) as u64,
        }
    }
}

/// A variable of the environment, if it is set to something.
struct Variables<F>(F);

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// The first of these that is set, and its name.
    fn first(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        let set = |name: &&'static str| Some((*name, (self.0)(name).filter(|it| !it.is_empty())?));
        names.iter().find_map(set)
    }

    fn number(&self, names: &[&'static str]) -> Result<Option<u64>, Complaint> {
        let Some((name, text)) = self.first(names) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number > 0);
        let wrong = || wrong(name, &text, "which is no number above 0", "write such a number");
        number.ok_or_else(wrong).map(Some)
    }
}

fn wrong(name: &str, value: &str, what: &str, hint: &str) -> Complaint {
    let what = format!("the variable `{name}` is `{value}`, {what}");
    Complaint::new(trace_root(), what, format!("{hint}, or set the key in [trace]"))
}

impl Settings {
    /// `None`: there are to be no spans, which a variable says.
    pub(super) fn read(
        config: &TraceConfig,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, Complaint> {
        let variables = Variables(variable);
        let is_off = variables.first(&["OTEL_SDK_DISABLED"]);
        if is_off.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let timeouts = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
        let timeout_ms = match config.timeout_ms {
            None => variables.number(&timeouts)?.unwrap_or(TIMEOUT_MS),
            Some(timeout_ms) => timeout_ms,
        };
        let spans_max = match config.queue_spans_max {
            None => variables.number(&["OTEL_BSP_MAX_QUEUE_SIZE"])?.unwrap_or(QUEUE_SPANS_MAX),
            Some(spans_max) => spans_max,
        };
        let [min, max] = QUEUE_SPANS;
        Ok(Some(Self {
            url: url(config, &variables)?,
            headers: headers(config, &variables)?,
            resource: resource(config, &variables)?,
            sampler: sampler(config, &variables)?,
            queue_spans_max: usize::try_from(spans_max.clamp(min, max)).unwrap_or(usize::MAX),
            timeout: Duration::from_millis(timeout_ms),
        }))
    }
}

fn url<F: Fn(&str) -> Option<String>>(
    config: &TraceConfig,
    variables: &Variables<F>,
) -> Result<Uri, Complaint> {
    let below = |endpoint: &str| format!("{}{PATH}", endpoint.trim_end_matches('/'));
    let names = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let set = variables.first(&names).filter(|_| config.endpoint.is_none());
    if let Some((name, endpoint)) = &set
        && let Some((what, hint)) = wrong_receiver(endpoint)
    {
        return Err(wrong(name, endpoint, what, hint));
    }
    let url = match (&config.endpoint, &set) {
        (Some(endpoint), _) => below(endpoint),
        // The variable for traces alone has the whole URL.
        (None, Some((name, endpoint))) if *name == names[0] => endpoint.clone(),
        (None, Some((_, endpoint))) => below(endpoint),
        (None, None) => below(ENDPOINT),
    };
    url.parse().map_err(|_| {
        let what = format!("`{url}` is not a receiver's address");
        Complaint::new(trace_root(), what, format!("write `endpoint = \"{ENDPOINT}\"`"))
    })
}

fn headers<F: Fn(&str) -> Option<String>>(
    config: &TraceConfig,
    variables: &Variables<F>,
) -> Result<HeaderMap, Complaint> {
    let mut headers = HeaderMap::new();
    let names = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
    if let Some((name, text)) = variables.first(&names) {
        // The value may be a secret.
        let wrong = || wrong(name, "…", "which is not of the form `name=value,…`", "write it so");
        for (key, value) in pairs(&text).ok_or_else(wrong)? {
            let header = (key.parse::<HeaderName>().ok()).zip(HeaderValue::from_str(&value).ok());
            let (key, value) = header.ok_or_else(wrong)?;
            headers.insert(key, value);
        }
    }
    for (key, value) in &config.headers {
        // Both were checked with the configuration.
        if let (Ok(key), Ok(mut value)) =
            (key.parse::<HeaderName>(), HeaderValue::from_str(value.as_str()))
        {
            value.set_sensitive(true);
            headers.insert(key, value);
        }
    }
    Ok(headers)
}

fn resource<F: Fn(&str) -> Option<String>>(
    config: &TraceConfig,
    variables: &Variables<F>,
) -> Result<Vec<KeyValue>, Complaint> {
    let mut resource: Vec<(String, String)> = [
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", "becket"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ("service.name", SERVICE_NAME),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec();
    if let Some((name, text)) = variables.first(&["OTEL_RESOURCE_ATTRIBUTES"]) {
        let wrong = || wrong(name, &text, "which is not of the form `name=value,…`", "write it so");
        resource.extend(pairs(&text).ok_or_else(wrong)?);
    }
    let name = variables.first(&["OTEL_SERVICE_NAME"]).map(|(_, name)| name);
    if let Some(name) = config.service_name.clone().or(name) {
        resource.push(("service.name".to_owned(), name));
    }
    let mut attributes = Vec::<KeyValue>::new();
    for (key, value) in resource {
        // The last one counts.
        attributes.retain(|known| known.key != key);
        attributes.push(text(key, value));
    }
    Ok(attributes)
}

/// `a=1,b=2`, percent-encoded.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        (!key.trim().is_empty()).then(|| (key.trim().to_owned(), value.into_owned()))
    };
    parts.map(pair).collect()
}

fn sampler<F: Fn(&str) -> Option<String>>(
    config: &TraceConfig,
    variables: &Variables<F>,
) -> Result<Sampler, Complaint> {
    let parent_or = |ratio| Sampler { follows_parent: true, ratio };
    let always = |ratio| Sampler { follows_parent: false, ratio };
    if let Some(ratio) = config.sample_ratio {
        return Ok(parent_or(ratio));
    }
    let Some((name, kind)) = variables.first(&["OTEL_TRACES_SAMPLER"]) else {
        return Ok(parent_or(1.0));
    };
    let ratio = || match variables.first(&["OTEL_TRACES_SAMPLER_ARG"]) {
        None => Ok(1.0),
        Some((name, text)) => {
            let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
            ratio.ok_or_else(|| {
                wrong(name, &text, "which is no number from 0 to 1", "write such a number")
            })
        }
    };
    Ok(match kind.as_str() {
        "always_on" => always(1.0),
        "always_off" => always(0.0),
        "traceidratio" => always(ratio()?),
        "parentbased_always_on" => parent_or(1.0),
        "parentbased_always_off" => parent_or(0.0),
        "parentbased_traceidratio" => parent_or(ratio()?),
        _ => {
            let hint =
                "write `parentbased_traceidratio`, with the share in `OTEL_TRACES_SAMPLER_ARG`";
            return Err(wrong(name, &kind, "which is no sampler of this program", hint));
        }
    })
}

/// An attribute that is a text.
pub(super) fn text(key: impl Into<String>, value: impl Into<String>) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.into()))
}

/// An attribute that is a number.
pub(super) fn number(key: &'static str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: impl Into<String>, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str, set: &[(&str, &str)]) -> Result<Option<Settings>, Complaint> {
        let config = crate::Config::parse(&format!("[trace]\n{lines}"), "t").unwrap();
        Settings::read(&config.trace.unwrap(), |name| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn of(lines: &str, set: &[(&str, &str)]) -> Settings {
        read(lines, set).unwrap().unwrap()
    }

    fn value<'a>(settings: &'a Settings, key: &str) -> Vec<&'a str> {
        let found = settings.resource.iter().filter(|attribute| attribute.key == key);
        let text = |attribute: &'a KeyValue| match &attribute.value.as_ref().unwrap().value {
            Some(any_value::Value::StringValue(text)) => text.as_str(),
            other => panic!("{other:?}"),
        };
        found.map(text).collect()
    }

    const ALL: [(&str, &str); 8] = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1/base/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-a=1, x-b=two%20words"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "5"),
        ("OTEL_SERVICE_NAME", "edge"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=no,deployment.environment.name=test"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
    ];

    #[test]
    fn a_variable_counts_where_there_is_no_key() {
        let plain = of("", &[]);
        assert_eq!(plain.url, "http://127.0.0.1:4318/v1/traces");
        assert_eq!((plain.queue_spans_max, plain.timeout.as_millis()), (2048, 10_000));
        assert_eq!(plain.sampler, Sampler { follows_parent: true, ratio: 1.0 });
        assert_eq!(value(&plain, "service.name"), ["becket"]);
        let set = of("", &ALL);
        assert_eq!(set.url, "http://a:1/base/v1/traces");
        assert_eq!((set.queue_spans_max, set.timeout.as_millis()), (100, 5));
        assert_eq!(set.sampler, Sampler { follows_parent: true, ratio: 0.25 });
        assert_eq!(value(&set, "service.name"), ["edge"]);
        assert_eq!(value(&set, "deployment.environment.name"), ["test"]);
        assert_eq!(
            (&set.headers["x-a"], &set.headers["x-b"]),
            (&"1".parse().unwrap(), &"two words".parse().unwrap())
        );
        let keys = "endpoint = \"http://b:2\"\nservice_name = \"own\"\nsample_ratio = 0.5\n\
                    headers = { x-a = \"3\" }\nqueue_spans_max = 200\ntimeout_ms = 6\n";
        let own = of(keys, &ALL);
        assert_eq!(own.url, "http://b:2/v1/traces");
        assert_eq!((own.queue_spans_max, own.timeout.as_millis()), (200, 6));
        assert_eq!(own.sampler, Sampler { follows_parent: true, ratio: 0.5 });
        assert_eq!(value(&own, "service.name"), ["own"]);
        assert_eq!((own.headers.len(), &own.headers["x-a"]), (2, &"3".parse().unwrap()));
    }

    #[test]
    fn the_variable_for_traces_alone_has_the_whole_url() {
        let set = [ALL[0], ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/x")];
        assert_eq!(of("", &set).url, "http://c/x");
        assert!(read("", &[("OTEL_SDK_DISABLED", "true")]).unwrap().is_none());
        assert!(read("", &[("OTEL_SDK_DISABLED", "false")]).unwrap().is_some());
    }

    #[test]
    fn a_wrong_variable_is_named_and_a_secret_is_not() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://a"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "a"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "s3cret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x=s3cret%0a"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a"),
            ("OTEL_TRACES_SAMPLER", "xray"),
        ] {
            let refused = read("", &[(name, value)]).unwrap_err().without_text().render();
            assert!(refused.contains(name) && refused.contains("hint: "), "{refused}");
            assert!(!refused.contains("s3cret"), "{refused}");
        }
        let set = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")];
        let refused = read("", &set).unwrap_err().without_text().render();
        assert!(refused.contains("`OTEL_TRACES_SAMPLER_ARG` is `2`"), "{refused}");
    }

    #[test]
    fn a_parent_decides_and_else_the_ratio() {
        let of = |flags| Some(Parent { flags, ..Parent::sample() });
        let half = Sampler { follows_parent: true, ratio: 0.5 };
        let id = TraceId::make();
        assert!(half.samples(id, of(1)) && half.samples(id, of(0xff)));
        assert!(!half.samples(id, of(0)));
        let count = (0..10_000).filter(|_| half.samples(TraceId::make(), None)).count();
        assert!((4_500..5_500).contains(&count), "{count}");
        let none = Sampler { follows_parent: false, ratio: 0.0 };
        assert!(!none.samples(id, of(1)));
        assert!(Sampler { ratio: 1.0, ..none }.samples(id, of(0)));
    }
}
