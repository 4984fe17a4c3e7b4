//! What each call is named among the service's permissions, and what goes on without it.

use aws_sdk_sqs::operation::change_message_visibility::ChangeMessageVisibilityError;
use aws_sdk_sqs::operation::change_message_visibility_batch::ChangeMessageVisibilityBatchError;
use aws_sdk_sqs::operation::delete_message::DeleteMessageError;
use aws_sdk_sqs::operation::delete_message_batch::DeleteMessageBatchError;
use aws_sdk_sqs::operation::get_queue_attributes::GetQueueAttributesError;
use aws_sdk_sqs::operation::receive_message::ReceiveMessageError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchError;

/// An action that an identity may be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Receive,
    Delete,
    ChangeVisibility,
    Send,
    GetAttributes,
}

/// The error of a call, which knows what that call needs.
pub trait Needs {
    const ACTION: Action;
}

macro_rules! needs {
    ($($error:ty => $action:ident),+ $(,)?) => {
        $(impl Needs for $error { const ACTION: Action = Action::$action; })+
    };
}

needs! {
    ReceiveMessageError => Receive,
    DeleteMessageError => Delete,
    DeleteMessageBatchError => Delete,
    ChangeMessageVisibilityError => ChangeVisibility,
    ChangeMessageVisibilityBatchError => ChangeVisibility,
    SendMessageError => Send,
    SendMessageBatchError => Send,
    GetQueueAttributesError => GetAttributes,
}

impl Action {
    /// What to allow, and what is missing until then.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Receive => {
                "Allow this identity sqs:ReceiveMessage on the queue: nothing can be received without it"
            }
            Self::Delete => {
                "Allow this identity sqs:DeleteMessage on the queue: without it what is handled comes \
                 again and again. \
                 The ledger knows it, and all else goes on"
            }
            Self::ChangeVisibility => {
                "Allow this identity sqs:ChangeMessageVisibility on the queue: without it a retry waits \
                 for the \
                 visibility timeout, and a handler that takes longer than that loses its message. All else \
                 goes on"
            }
            Self::Send => {
                "Allow this identity sqs:SendMessage on the queue: nothing can be put there without it"
            }
            Self::GetAttributes => {
                "Allow this identity sqs:GetQueueAttributes on the queue: without it nobody can say how \
                 much is left, \
                 `--until-empty` does not end, and settings are not compared with those of the queue. All \
                 else goes on"
            }
        }
    }
}
