package telemetry

import "strings"

// kind is what an instrument does with numbers.
type kind int

const (
	counter kind = iota
	histogram
	gaugeKind
)

// instrument is one metric. Its name and unit are OpenTelemetry's.
type instrument struct {
	name string
	unit string
	kind kind
	// bounds are those of a histogram.
	bounds []float64
	help   string
}

// The conventions' own boundaries, and those of what we do ourselves, which takes
// well below a millisecond.
var (
	modelBounds = []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	tokenBounds = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
	mcpBounds   = []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300}
	ownBounds   = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5}
)

// The instruments.
var (
	requests = instrument{name: "mcp_sampling.requests", unit: "{request}",
		help: "Sampling requests by what became of them."}
	requestDuration = instrument{name: "mcp_sampling.request.duration", unit: "s", kind: histogram, bounds: modelBounds,
		help: "How long sampling requests took, from the server's request to the answer."}
	queueDuration = instrument{name: "mcp_sampling.queue.duration", unit: "s", kind: histogram, bounds: modelBounds,
		help: "How long sampling requests waited for their turn."}
	modelDuration = instrument{name: "mcp_sampling.model.duration", unit: "s", kind: histogram, bounds: modelBounds,
		help: "How long sampling requests waited for providers, all attempts together."}
	ownDuration = instrument{name: "mcp_sampling.own.duration", unit: "s", kind: histogram, bounds: ownBounds,
		help: "What is left of sampling requests without queue and model: the sampler's own work, and pauses between attempts."}
	requestsInFlight = instrument{name: "mcp_sampling.requests.in_flight", unit: "{request}", kind: gaugeKind,
		help: "Sampling requests that are being answered, those that wait for their turn included."}
	requestsQueued = instrument{name: "mcp_sampling.requests.queued", unit: "{request}", kind: gaugeKind,
		help: "Sampling requests that wait for their turn."}
	sessionsOpen = instrument{name: "mcp_sampling.sessions", unit: "{session}", kind: gaugeKind,
		help: "Sessions of callers that are held."}
	retries = instrument{name: "mcp_sampling.retries", unit: "{attempt}",
		help: "Calls of a model that were not the first for their request."}
	fallbacks = instrument{name: "mcp_sampling.fallbacks", unit: "{attempt}",
		help: "How often another model was asked after one had failed."}
	cost = instrument{name: "mcp_sampling.cost", unit: "{currency}",
		help: "What answers cost by the policy's prices."}
	redactions = instrument{name: "mcp_sampling.redactions", unit: "{replacement}",
		help: "Replacements by rules of the policy."}

	// clientOperationDuration and clientTokenUsage are the conventions' for calls of
	// a model.
	clientOperationDuration = instrument{name: "gen_ai.client.operation.duration", unit: "s", kind: histogram, bounds: modelBounds,
		help: "GenAI operation duration."}
	clientTokenUsage = instrument{name: "gen_ai.client.token.usage", unit: "{token}", kind: histogram, bounds: tokenBounds,
		help: "Number of input and output tokens used."}

	// mcpServerOperationDuration is of what callers ask of the sampler,
	// mcpClientOperationDuration of what the sampler asks of the server.
	mcpServerOperationDuration = instrument{name: "mcp.server.operation.duration", unit: "s", kind: histogram, bounds: mcpBounds,
		help: "MCP request or notification duration as observed on the receiver from the time it was received until the result or ack is sent."}
	mcpClientOperationDuration = instrument{name: "mcp.client.operation.duration", unit: "s", kind: histogram, bounds: mcpBounds,
		help: "The duration of the MCP request or notification as observed on the sender from the time it was sent until the response or ack is received."}
)

// instruments are all of them.
var instruments = []*instrument{
	&requests, &requestDuration, &queueDuration, &modelDuration, &ownDuration, &requestsInFlight, &requestsQueued, &sessionsOpen,
	&retries, &fallbacks, &cost, &redactions, &clientOperationDuration, &clientTokenUsage,
	&mcpServerOperationDuration, &mcpClientOperationDuration,
}

// Attributes, which are labels of what is scraped.
const (
	attrPolicy   = "mcp_sampling.policy"
	attrDecision = "mcp_sampling.decision"
	attrReason   = "mcp_sampling.reason"
	attrFallback = "mcp_sampling.fallback_model"
	attrCurrency = "mcp_sampling.currency"
	attrRule     = "mcp_sampling.rule"

	attrErrorType = "error.type"
	attrOperation = "gen_ai.operation.name"
	attrProvider  = "gen_ai.provider.name"
	attrModel     = "gen_ai.request.model"
	attrTokenType = "gen_ai.token.type"

	attrMethod          = "mcp.method.name"
	attrProtocol        = "mcp.protocol.version"
	attrTransport       = "network.transport"
	attrNetworkProtocol = "network.protocol.name"
	attrNetworkVersion  = "network.protocol.version"
)

// prometheus is the instrument's name as Prometheus writes it.
func (i *instrument) prometheus() string {
	name := prometheusName(i.name)
	if i.unit == "s" {
		name += "_seconds"
	}
	if i.kind == counter {
		name += "_total"
	}
	return name
}

func prometheusName(name string) string { return strings.ReplaceAll(name, ".", "_") }
