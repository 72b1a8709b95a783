//! Administration: who is enrolled, how the nodes are.

use futures::future::join_all;
use trine_proto::status::SqlError;
use trine_proto::wire::admin_client::AdminClient;
use trine_proto::wire::client_command::Command;
use trine_proto::wire::{Enrol, NodeStatus, PrincipalEntry, StatusRequest};

use crate::client::Client;

impl Client {
    /// Enrols a principal. Only an administrator may.
    ///
    /// # Errors
    /// `42501`, or whatever else the nodes refuse it for.
    pub async fn enrol(&self, name: &str, public_key: [u8; 32]) -> Result<(), SqlError> {
        let enrol = Enrol { name: name.to_owned(), public_key: public_key.to_vec() };
        self.propose(Command::Enrol(enrol)).await.map(|_| ())
    }

    /// Everybody who is enrolled.
    ///
    /// # Errors
    /// None of the nodes answers, or refuses.
    pub async fn principals(&self) -> Result<Vec<PrincipalEntry>, SqlError> {
        self.any(|c| async move { AdminClient::new(c).principals(StatusRequest {}).await })
            .await
            .map(|list| list.principals)
    }

    /// What each node says of itself, by party; an error for one that does not answer.
    pub async fn status(&self) -> Vec<Result<NodeStatus, SqlError>> {
        join_all(self.nodes.iter().map(|node| {
            node.call(|c| async move { AdminClient::new(c).status(StatusRequest {}).await })
        }))
        .await
    }
}
