//! Operators whose calls wait: whether job file and component fit, and what the calls reach.

use std::sync::Arc;

use weir_component::{Component as Guest, Limits, Outside};
use weir_job_file::{Diagnostic, EmittedStrategy, JobFile, Operator, Spot};
use weir_model::Name;
use weir_operator::{Failure, HttpClient, HttpOrigin, OperatorFactory};

/// What the job file says of calls that wait, or of what they reach, and the component has no use
/// for; or what it needs and is not given.
pub(super) fn misfit(
    job: &JobFile,
    name: &Name,
    operator: &Operator,
    component: &Guest,
) -> Option<Diagnostic> {
    let wrong = |spot: Spot, message: String, label: &str, help: &str| {
        let help = Some(help.to_owned());
        Some(job.diagnose(&spot, "W0351", message, label, help))
    };
    let key = |key: &'static str| Spot::OperatorKey(name.clone(), key);
    if operator.waiting.is_some() && !component.waits() {
        let message =
            format!("operator `{name}` has `async`, and the calls of its component do not wait");
        let help = "use a component that exports `weir:operator/enrich`, or leave `async` out";
        return wrong(
            key("async"),
            message,
            "needs a component that exports `enrich`",
            help,
        );
    }
    if operator.watermark == Some(EmittedStrategy::Component) && component.waits() {
        let message =
            format!("operator `{name}` is to say its watermarks, and its calls wait for something");
        let help = "say `bounded-out-of-orderness`, which has them follow from what it gives";
        let label = "a call that waits says no watermarks";
        return wrong(key("watermark"), message, label, help);
    }
    if !operator.grants.is_empty() && !component.imports_http() {
        let message =
            format!("operator `{name}` has `grants`, and its component sends no requests");
        let help = "leave `grants` out: nothing is granted that nobody needs";
        return wrong(
            key("grants"),
            message,
            "its component does not import `http`",
            help,
        );
    }
    if operator.grants.is_empty() && component.imports_http() {
        let message =
            format!("the component of operator `{name}` sends requests, and none is granted");
        let help = "say where they may go: `grants: [ { http: \"https://…\" } ]`";
        let spot = Spot::OperatorComponent(name.clone());
        return wrong(
            spot,
            message,
            "this component imports `weir:operator/http`",
            help,
        );
    }
    None
}

/// Makes the instances of an operator whose calls wait.
pub(super) fn factory(
    component: &Guest,
    operator: &Operator,
    limits: Limits,
) -> Result<Arc<dyn OperatorFactory>, Failure> {
    let outside = Outside {
        http: client(&operator.grants)?,
        sleep: Arc::new(|time| Box::pin(tokio::time::sleep(time))),
    };
    let options = operator.waiting.unwrap_or_default();
    Ok(Arc::new(component.enriching(limits, options, outside)))
}

#[cfg(feature = "http")]
fn client(grants: &[HttpOrigin]) -> Result<Arc<dyn HttpClient>, Failure> {
    let client = weir_http_client::GrantedClient::new(grants.to_vec())?;
    Ok(Arc::new(client))
}

/// As above, of a program without a client.
#[cfg(not(feature = "http"))]
fn client(_grants: &[HttpOrigin]) -> Result<Arc<dyn HttpClient>, Failure> {
    Err(Failure::Target {
        what: "requests of operators".into(),
        message: "this program was built without the feature `http`".into(),
    })
}
