//! How plans travel: every node of ours as JSON inside DataFusion's own encoding, functions by name.
//!
//! A node is `{"node": <name>, "data": {…}, "expressions": [{"schema": …, "expr": …}]}`; an expression is the hexadecimal
//! digits of DataFusion's own encoding of it. Names and data are part of what two processes of one version agree on, and
//! of nothing that is kept on disk.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion_common::{Result, internal_err};
use datafusion_execution::TaskContext;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::PhysicalExprNode;
use prost::Message;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{
    BatchClockExec, ExchangeExec, SharedScanExec, SinkExec, SourceExec, StreamLimitExec, TimeWindowExec, WatermarkExec,
};
use crate::schema_serde::{hex_bytes, hex_digits};
use crate::stateful::{
    DeduplicateExec, GroupingSetsExec, SessionExec, SessionRowsExec, StateAggregateExec, StreamJoinExec, TimeKeyExec,
};
use crate::static_side::{StaticJoinExec, StaticRowsExec};

/// A physical node of ours: plain data and its inputs.
pub trait PlanNode: ExecutionPlan + Sized {
    /// What tells it from the others, in its encoding.
    const NAME: &'static str;

    /// Everything but the inputs and the expressions.
    fn to_json(&self) -> Result<serde_json::Value>;

    /// What it evaluates.
    fn expressions(&self) -> Vec<NodeExpression> {
        Vec::new()
    }

    /// The node again, with what [`expressions`](Self::expressions) gave, in that order. Functions of templates are looked
    /// up in `context`.
    fn from_json(
        json: serde_json::Value,
        inputs: &[Arc<dyn ExecutionPlan>],
        expressions: Vec<NodeExpression>,
        context: &TaskContext,
    ) -> Result<Self>;
}

/// An expression of a node, and the columns it is evaluated over.
#[derive(Clone, Debug)]
pub struct NodeExpression {
    /// The expression.
    pub expr: Arc<dyn PhysicalExpr>,
    /// What its columns refer to.
    pub schema: SchemaRef,
}

/// Makes a node of its data, its inputs and its expressions.
type DecodeNode = fn(
    serde_json::Value,
    &[Arc<dyn ExecutionPlan>],
    Vec<NodeExpression>,
    &TaskContext,
) -> Result<Arc<dyn ExecutionPlan>>;

/// A node's data and its expressions.
type EncodedNode = (Result<serde_json::Value>, Vec<NodeExpression>);

/// A node's decoding and encoding, for [`NODES`].
struct NodeCodec {
    name: &'static str,
    encode: fn(&dyn ExecutionPlan) -> Option<EncodedNode>,
    decode: DecodeNode,
}

const fn node<N: PlanNode>() -> NodeCodec {
    NodeCodec {
        name: N::NAME,
        encode: |plan| plan.downcast_ref::<N>().map(|node| (node.to_json(), node.expressions())),
        decode: |json, inputs, expressions, context| Ok(Arc::new(N::from_json(json, inputs, expressions, context)?)),
    }
}

/// Every physical node of ours, one line each.
const NODES: &[NodeCodec] = &[
    node::<BatchClockExec>(),
    node::<DeduplicateExec>(),
    node::<ExchangeExec>(),
    node::<GroupingSetsExec>(),
    node::<SessionExec>(),
    node::<SessionRowsExec>(),
    node::<SharedScanExec>(),
    node::<SinkExec>(),
    node::<SourceExec>(),
    node::<StateAggregateExec>(),
    node::<StaticJoinExec>(),
    node::<StaticRowsExec>(),
    node::<StreamJoinExec>(),
    node::<StreamLimitExec>(),
    node::<TimeKeyExec>(),
    node::<TimeWindowExec>(),
    node::<WatermarkExec>(),
];

#[derive(Serialize, Deserialize)]
struct Envelope {
    node: String,
    data: serde_json::Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    expressions: Vec<EncodedExpression>,
}

#[derive(Serialize, Deserialize)]
struct EncodedExpression {
    #[serde(with = "crate::schema_serde")]
    schema: SchemaRef,
    expr: String,
}

/// Encodes our nodes for DataFusion's plan encoding. Functions go by name and are looked up in the receiving
/// [`TaskContext`].
#[derive(Clone, Copy, Debug, Default)]
pub struct MillstreamCodec;

impl PhysicalExtensionCodec for MillstreamCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let envelope: Envelope = from_json(serde_json::from_slice(bytes).unwrap_or_default())?;
        let decoded = PhysicalPlanDecodeContext::new(context, self);
        let expressions = envelope.expressions.into_iter().map(|encoded| {
            let Some(node) = hex_bytes(&encoded.expr).and_then(|bytes| PhysicalExprNode::decode(bytes.as_slice()).ok())
            else {
                return internal_err!("an expression of the plan node {} cannot be read", envelope.node);
            };
            let expr = converter.proto_to_physical_expr(&node, &encoded.schema, &decoded)?;
            Ok(NodeExpression { expr, schema: encoded.schema })
        });
        let expressions = expressions.collect::<Result<Vec<_>>>()?;
        match NODES.iter().find(|n| n.name == envelope.node) {
            Some(node) => (node.decode)(envelope.data, inputs, expressions, context),
            None => internal_err!("there is no plan node '{}'", envelope.node),
        }
    }

    fn try_encode(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        for node in NODES {
            if let Some((data, expressions)) = (node.encode)(plan.as_ref()) {
                let expressions = expressions.iter().map(|expression| {
                    let node = converter.physical_expr_to_proto(&expression.expr, self)?;
                    let schema = Arc::clone(&expression.schema);
                    Ok(EncodedExpression { schema, expr: hex_digits(&node.encode_to_vec()) })
                });
                let expressions = expressions.collect::<Result<Vec<_>>>()?;
                let envelope = Envelope { node: node.name.to_string(), data: data?, expressions };
                bytes.extend_from_slice(to_json(&envelope)?.to_string().as_bytes());
                return Ok(());
            }
        }
        internal_err!("the plan node {} has no encoding", plan.name())
    }
}

/// The plan as bytes, for another process.
pub fn encode_plan(plan: &Arc<dyn ExecutionPlan>) -> Result<Bytes> {
    physical_plan_to_bytes_with_extension_codec(Arc::clone(plan), &MillstreamCodec)
}

/// The plan again, its functions looked up in `context`.
pub fn decode_plan(bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    physical_plan_from_bytes_with_extension_codec(bytes, context, &MillstreamCodec)
}

/// `plan` as text, for a node that carries one as plain data: a template, such as an aggregate over no rows whose
/// functions are what the node needs.
pub(crate) fn encode_template(plan: &Arc<dyn ExecutionPlan>) -> Result<String> {
    Ok(hex_digits(&encode_plan(plan)?))
}

/// The plan again, from [`encode_template`]'s text.
pub(crate) fn decode_template(text: &str, context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
    match hex_bytes(text) {
        Some(bytes) => decode_plan(&bytes, context),
        None => internal_err!("a plan node's template is not hexadecimal"),
    }
}

/// The parts of [`ExecutionPlan`] that are the same in every node of ours that has one input and passes rows on: it has
/// the fields `input` and `properties`, and a method `over(&self, input) -> Result<Self>`.
macro_rules! one_input {
    () => {
        fn properties(&self) -> &Arc<PlanProperties> {
            &self.properties
        }

        fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
            vec![&self.input]
        }

        fn benefits_from_input_partitioning(&self) -> Vec<bool> {
            vec![false]
        }

        fn apply_expressions(
            &self,
            _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
        ) -> Result<TreeNodeRecursion> {
            Ok(TreeNodeRecursion::Continue)
        }

        fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
            Ok(Arc::new(self.over(crate::plan::codec::only_input(&children)?)?))
        }
    };
}
pub(crate) use one_input;

/// `value` as JSON.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<serde_json::Value> {
    serde_json::to_value(value).or_else(|e| internal_err!("a plan node cannot be encoded: {e}"))
}

/// A `T` from JSON.
pub(crate) fn from_json<T: DeserializeOwned>(json: serde_json::Value) -> Result<T> {
    serde_json::from_value(json).or_else(|e| internal_err!("an encoded plan node cannot be read: {e}"))
}

/// The input of a node with one.
pub(crate) fn only_input(inputs: &[Arc<dyn ExecutionPlan>]) -> Result<Arc<dyn ExecutionPlan>> {
    match inputs {
        [input] => Ok(Arc::clone(input)),
        _ => internal_err!("a plan node with one input was given {}", inputs.len()),
    }
}
