"""What may a new deployment do? The policies that `sandbox init` writes, commented for the policy owner who reads."""

from __future__ import annotations

from typing import Final

STARTER_POLICY: Final = """\
// Who may do what. Nothing is permitted unless a `permit` below says so; one `forbid` beats every `permit`.
// `sandbox lint` checks each name in here; `sandbox explain` tells which policies decide a call.
//
// principal  Sandbox::Role::"…" is a role of the token, Sandbox::Principal::"…" its `sub`; a claim such as `region` is
//            read with principal.hasTag("region") && principal.getTag("region") == "EU"
// action     the name of the RPC; `Execute` is a group with one action a tool: Sandbox::Action::"Execute:shop.query"
// resource   Sandbox::Tool::"shop.query", with `resource.name`, `resource.effects` and `resource.connection`
// context    of `Execute` only: `context.arguments` (typed by the tool's spec), `context.relations`, `context.columns`
//            (written `table.column`), `context.functions` (what the statement needs), `context.requests` (of an HTTP
//            tool: "GET https://crm.example.com/v1/customers/{id}") and `context.door`
//
// Each policy has an @id of its own. Receipts name the policies that decided.

// Agents see the tools within their token's scope, run them, and ask what a call would do.
@id("agents-use-tools")
permit (
  principal in Sandbox::Role::"agent",
  action in [
    Sandbox::Action::"ListTools",
    Sandbox::Action::"GetTool",
    Sandbox::Action::"Execute",
    Sandbox::Action::"Explain"
  ],
  resource
);

// Agents follow and stop their own calls and fetch the receipts of these; nobody reaches another's through this.
@id("agents-follow-own-calls")
permit (
  principal in Sandbox::Role::"agent",
  action in [Sandbox::Action::"GetCall", Sandbox::Action::"CancelCall", Sandbox::Action::"GetReceipt"],
  resource
);

// Reviewers see which tools there are and read the whole log. Reading a payload is itself recorded.
@id("reviewers-read-log")
permit (
  principal in Sandbox::Role::"reviewer",
  action in [
    Sandbox::Action::"ListTools",
    Sandbox::Action::"GetTool",
    Sandbox::Action::"GetCheckpoint",
    Sandbox::Action::"ListRecords",
    Sandbox::Action::"GetReceipt",
    Sandbox::Action::"GetConsistencyProof",
    Sandbox::Action::"ReadPayload"
  ],
  resource
);

// Both may ask whether the service is well and what it speaks.
@id("all-may-probe")
permit (principal, action in [Sandbox::Action::"CheckHealth", Sandbox::Action::"Reflect"], resource)
when { principal in [Sandbox::Role::"agent", Sandbox::Role::"reviewer"] };

// An example to learn from: take the slashes away and no agent outside the EU reads `customers` any more.
// @id("customers-stay-in-eu")
// forbid (principal, action in Sandbox::Action::"Execute", resource)
// when { context.relations.contains("customers") }
// unless { principal.hasTag("region") && principal.getTag("region") == "EU" };
"""
