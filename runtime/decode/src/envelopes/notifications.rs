//! What services of AWS send when notifications are set up: it says that they arrive, and nothing else.

use super::json::Object;

/// The longest that is looked at.
const MAX_BYTES: usize = 4 << 10;

/// Whether it is such a test.
pub fn is_test(body: &[u8]) -> bool {
    if body.len() > MAX_BYTES {
        return false;
    }
    let Ok(object) = Object::parse(body) else { return false };
    let is = |name: &str, wanted: &str| object.text(name).ok().flatten().as_deref() == Some(wanted);
    let s3 = is("Service", "Amazon S3") && is("Event", "s3:TestEvent");
    let auto_scaling =
        is("Event", "autoscaling:TEST_NOTIFICATION") && object.raw("AutoScalingGroupARN").is_some();
    let ses = is("notificationType", "AmazonSnsSubscriptionSucceeded");
    s3 || auto_scaling || ses
}
