package telemetry

import (
	"strconv"
	"time"
)

// Other stands for all values that are not in a set.
const Other = "_OTHER"

// methods are those of MCP that a label names: the conventions' and those of the
// newest version.
var methods = setOf(
	"completion/complete", "elicitation/create", "initialize", "logging/setLevel",
	"notifications/cancelled", "notifications/initialized", "notifications/message", "notifications/progress",
	"notifications/prompts/list_changed", "notifications/resources/list_changed", "notifications/resources/updated",
	"notifications/roots/list_changed", "notifications/tools/list_changed",
	"ping", "prompts/get", "prompts/list", "resources/list", "resources/read", "resources/subscribe",
	"resources/templates/list", "resources/unsubscribe", "roots/list", "sampling/createMessage",
	"server/discover", "subscriptions/listen", "tools/call", "tools/list",
)

var protocolVersions = setOf("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")

// errorTypes are what can have gone wrong with an operation: what the conventions
// have a word for, ours, the codes of JSON-RPC and MCP, and states of HTTP.
var errorTypes = setOf(
	ErrorTool, ErrorUnreachable, ErrorBroken, ErrorCanceled,
	"-1", "-32000", "-32001", "-32002", "-32020", "-32021", "-32022", "-32042", "-32600", "-32601", "-32602", "-32603", "-32700",
	"301", "302", "303", "307", "308",
	"400", "401", "403", "404", "405", "406", "408", "409", "410", "411", "413", "415", "421", "422", "429", "431",
	"500", "501", "502", "503", "504",
)

func setOf(values ...string) map[string]string {
	set := make(map[string]string, len(values))
	for _, value := range values {
		set[value] = value
	}
	return set
}

// bounded is the value where it is in the set, and Other where it is not.
func bounded(set map[string]string, value string) string {
	if known, ok := set[value]; ok {
		return known
	}
	return Other
}

// Method is the name of a method where it is a known one, and Other for all
// others: callers and servers can send any.
func Method(name string) string { return bounded(methods, name) }

// What can go wrong with an operation beside what a peer says.
const (
	// ErrorTool: the tool failed, and the result says so (the conventions' word).
	ErrorTool = "tool_error"
	// ErrorUnreachable: the server gave no response.
	ErrorUnreachable = "unreachable"
	// ErrorBroken: the server's response broke off.
	ErrorBroken = "broken"
	// ErrorCanceled: the caller left before there was a response.
	ErrorCanceled = "canceled"
)

// Code is the error type of a code of JSON-RPC.
func Code(code int) string { return bounded(errorTypes, strconv.Itoa(code)) }

// Status is the error type of a status of HTTP; empty where that is none.
func Status(status int) string {
	if status < 300 {
		return ""
	}
	return bounded(errorTypes, strconv.Itoa(status))
}

// MCPOperation is one request or notification of MCP. Whatever stands in it, its
// labels are of closed sets.
type MCPOperation struct {
	Method string
	// Version is that of the protocol; empty where it is not known.
	Version string
	// HTTP is the major version of HTTP that carried it.
	HTTP int
	// ErrorType is empty where nothing went wrong.
	ErrorType string
	Duration  time.Duration
}

// operation is what tells series of operations from each other.
type operation struct {
	instrument                 *instrument
	method, version, errorType string
	http                       int
}

// Served records what a caller has asked for (mcp.server.operation.duration).
func (t *Telemetry) Served(op MCPOperation) { t.operated(&mcpServerOperationDuration, op) }

// Asked records what the server was asked for (mcp.client.operation.duration).
func (t *Telemetry) Asked(op MCPOperation) { t.operated(&mcpClientOperationDuration, op) }

func (t *Telemetry) operated(i *instrument, op MCPOperation) {
	if t == nil {
		return
	}
	// Of the sets first: nobody else's values are kept, not even here.
	key := operation{instrument: i, method: Method(op.Method), http: op.HTTP}
	if op.Version != "" {
		key.version = bounded(protocolVersions, op.Version)
	}
	if op.ErrorType != "" {
		key.errorType = bounded(errorTypes, op.ErrorType)
	}
	t.mu.RLock()
	s := t.operations[key]
	t.mu.RUnlock()
	if s == nil {
		s = t.find(i, key.labels()...)
		t.mu.Lock()
		t.operations[key] = s
		t.mu.Unlock()
	}
	s.record(op.Duration.Seconds())
}

func (o operation) labels() []string {
	labels := []string{attrMethod, o.method}
	if o.errorType != "" {
		labels = append(labels, attrErrorType, o.errorType)
	}
	if o.version != "" {
		labels = append(labels, attrProtocol, o.version)
	}
	version := "1.1"
	if o.http == 2 {
		version = "2"
	}
	return append(labels, attrTransport, "tcp", attrNetworkProtocol, "http", attrNetworkVersion, version)
}
