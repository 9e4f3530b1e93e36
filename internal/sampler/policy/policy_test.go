package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/policy"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

var (
	undeclared = wire.SamplingCapability{}
	plain      = wire.SamplingCapability{Declared: true}
	withTools  = wire.SamplingCapability{Declared: true, Tools: true}
)

// testPolicy allows three models; modifiers change one thing.
func testPolicy(modifiers ...func(*config.Policy)) *config.Policy {
	p := &config.Policy{
		Name:      "p",
		Mode:      config.ModeAlways,
		Providers: []config.Provider{{Name: "openai", Type: config.ProviderOpenAI}},
		Models: config.Models{
			Default: "mini",
			Allowed: []config.Model{
				{Name: "mini", Provider: "openai", Model: "gpt-4o-mini-2024-07-18", Hints: []string{"haiku"}},
				{Name: "gpt-4o", Provider: "openai", Model: "gpt-4o-2024-11-20", Hints: []string{"sonnet", "Opus"}},
				{Name: "reasoner", Provider: "openai", Model: "o3"},
			},
		},
		Capabilities: config.Capabilities{Tools: config.ToolsEnabled},
	}
	for _, m := range modifiers {
		m(p)
	}
	return p
}

// compile makes the form that decides.
func compile(t testing.TB, c *config.Policy) *policy.Policy {
	t.Helper()
	p, err := policy.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// decide fails the test if the request is refused.
func decide(t testing.TB, c *config.Policy, params *wire.SamplingParams) *policy.Decision {
	t.Helper()
	d, refusal := policy.Decide(compile(t, c), policy.Session{Declared: withTools}, params)
	if refusal != nil {
		t.Fatalf("refused: %+v", refusal)
	}
	return d
}

func fallback(p *config.Policy) { p.Mode = config.ModeFallback }
func noTools(p *config.Policy)  { p.Capabilities.Tools = config.ToolsDisabled }

func TestDeclare(t *testing.T) {
	for name, tc := range map[string]struct {
		policy       *config.Policy
		caller, want wire.SamplingCapability
	}{
		"no policy, caller without sampling":                   {nil, undeclared, undeclared},
		"no policy, caller with tools":                         {nil, withTools, withTools},
		"policy with tools, caller without sampling":           {testPolicy(), undeclared, withTools},
		"policy without tools, caller without sampling":        {testPolicy(noTools), undeclared, plain},
		"policy without tools, caller with tools":              {testPolicy(noTools), withTools, plain},
		"fallback without tools, caller with tools":            {testPolicy(fallback, noTools), withTools, withTools},
		"fallback without tools, caller without tools":         {testPolicy(fallback, noTools), plain, plain},
		"fallback with tools, caller without tools":            {testPolicy(fallback), plain, withTools},
		"fallback with tools, caller without sampling":         {testPolicy(fallback), undeclared, withTools},
		"fallback, caller that claims tools but not sampling":  {testPolicy(fallback, noTools), wire.SamplingCapability{Tools: true}, plain},
		"policy without tools, caller that is better equipped": {testPolicy(noTools), withTools, plain},
	} {
		if diff := cmp.Diff(tc.want, policy.Declare(compile(t, tc.policy), tc.caller)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTakes(t *testing.T) {
	for name, tc := range map[string]struct {
		policy           *config.Policy
		caller, declared wire.SamplingCapability
		needsTools, want bool
		callerUnknown    bool
	}{
		"always, caller without sampling":                        {policy: testPolicy(), caller: undeclared, declared: withTools, needsTools: false, want: true},
		"always, caller with sampling":                           {policy: testPolicy(), caller: withTools, declared: withTools, needsTools: false, want: true},
		"always, nothing declared":                               {policy: testPolicy(), caller: undeclared, declared: undeclared, needsTools: false, want: true},
		"fallback, caller without sampling":                      {policy: testPolicy(fallback), caller: undeclared, declared: withTools, needsTools: false, want: true},
		"fallback, caller with sampling":                         {policy: testPolicy(fallback), caller: plain, declared: withTools, needsTools: false, want: false},
		"fallback, caller without tools, request with tools":     {policy: testPolicy(fallback), caller: plain, declared: withTools, needsTools: true, want: true},
		"fallback, caller with tools, request with tools":        {policy: testPolicy(fallback), caller: withTools, declared: withTools, needsTools: true, want: false},
		"no policy, caller with sampling":                        {policy: nil, caller: plain, declared: plain, needsTools: false, want: false},
		"no policy, caller without sampling":                     {policy: nil, caller: undeclared, declared: undeclared, needsTools: false, want: true},
		"no policy any more, caller without sampling, server on": {policy: nil, caller: undeclared, declared: withTools, needsTools: false, want: true},
		"no policy, nobody knows what the caller declared":       {caller: undeclared, declared: undeclared, callerUnknown: true, want: false},
		"always, nobody knows what the caller declared":          {policy: testPolicy(), caller: undeclared, declared: withTools, callerUnknown: true, want: true},
	} {
		got := policy.Takes(compile(t, tc.policy), policy.Session{Caller: tc.caller, Declared: tc.declared, CallerUnknown: tc.callerUnknown}, tc.needsTools)
		if got != tc.want {
			t.Errorf("%s: Takes = %v, want %v", name, got, tc.want)
		}
	}
}

// request asks for something small; modifiers change it.
func request(modifiers ...func(*wire.SamplingParams)) *wire.SamplingParams {
	params := &wire.SamplingParams{MaxTokens: 10, Messages: []wire.SamplingMessage{
		{Role: wire.RoleUser, Content: []wire.Content{{Type: wire.ContentText, Text: "hi"}}}}}
	for _, m := range modifiers {
		m(params)
	}
	return params
}

func offering(names ...string) func(*wire.SamplingParams) {
	return func(p *wire.SamplingParams) {
		for _, name := range names {
			p.Tools = append(p.Tools, wire.Tool{Name: name, InputSchema: []byte(`{}`)})
		}
	}
}

func choosing(mode string) func(*wire.SamplingParams) {
	return func(p *wire.SamplingParams) { p.ToolChoice = &wire.ToolChoice{Mode: mode} }
}

func saying(blocks ...wire.Content) func(*wire.SamplingParams) {
	return func(p *wire.SamplingParams) {
		p.Messages = append(p.Messages, wire.SamplingMessage{Role: wire.RoleUser, Content: blocks})
	}
}

func capabilities(change func(*config.Capabilities)) func(*config.Policy) {
	return func(p *config.Policy) { change(&p.Capabilities) }
}

func TestDecideRefuses(t *testing.T) {
	const invalid, refused = wire.CodeInvalidParams, wire.CodeRejected
	noImages := capabilities(func(c *config.Capabilities) { c.Images = config.Deny })
	image := wire.Content{Type: wire.ContentImage, MIMEType: "image/png", Data: "aGk="}
	audio := wire.Content{Type: wire.ContentAudio, MIMEType: "audio/wav", Data: "aGk="}
	embedded := func(mimeType string) wire.Content {
		return wire.Content{Type: wire.ContentToolResult, ToolUseID: "a", Content: []wire.Content{
			{Type: wire.ContentText, Text: "see"},
			{Type: wire.ContentResource, Resource: &wire.Resource{URI: "u:", MIMEType: mimeType, Blob: "aGk="}}}}
	}
	manyTokens := func(on config.OnExceed) func(*config.Policy) {
		return func(p *config.Policy) { p.Parameters.MaxTokens = &config.MaxTokensLimit{Max: 100, OnExceed: on} }
	}
	for name, tc := range map[string]struct {
		policy     *config.Policy
		session    policy.Session
		params     *wire.SamplingParams
		wantCode   int
		wantReason policy.Reason
		wantText   string
	}{
		"everything without a policy": {nil, policy.Session{}, request(), refused, policy.NoPolicy,
			"no sampling policy is attached to this server"},
		"tools that were not declared": {testPolicy(), policy.Session{Declared: plain}, request(offering("t")), invalid, policy.ToolsNotDeclared,
			"tools and toolChoice need the client capability sampling.tools, which was not declared"},
		"a tool choice that was not declared": {testPolicy(noTools), policy.Session{Declared: plain}, request(choosing("none")), invalid, policy.ToolsNotDeclared,
			"tools and toolChoice need the client capability sampling.tools, which was not declared"},
		"tool results although tools were not declared": {testPolicy(noTools), policy.Session{Declared: plain}, request(saying(embedded("text/plain"))), invalid,
			policy.ToolsNotDeclared, "messages with tool_use or tool_result need the client capability sampling.tools, which was not declared"},
		"tools that were disabled since": {testPolicy(noTools), policy.Session{Declared: withTools}, request(offering("t")), refused, policy.ToolsDisabled,
			"the sampling policy does not allow tools"},
		"a tool choice although tools were disabled since": {testPolicy(noTools), policy.Session{Declared: withTools}, request(choosing("auto")), refused,
			policy.ToolsDisabled, "the sampling policy does not allow tools"},
		"tool results although tools were disabled since": {testPolicy(noTools), policy.Session{Declared: withTools}, request(saying(embedded("text/plain"))),
			refused, policy.ToolsDisabled, "the sampling policy does not allow tools"},
		"a tool that the policy does not list": {testPolicy(capabilities(func(c *config.Capabilities) { c.ToolNames.Allow = []string{"read_*", "final_response"} })),
			policy.Session{Declared: withTools}, request(offering("read_file", "write_file")), refused, policy.ToolNotAllowed,
			`the sampling policy does not allow the tool "write_file"`},
		"a tool that is allowed and denied": {testPolicy(capabilities(func(c *config.Capabilities) { c.ToolNames.Deny = []string{"*_file"} })),
			policy.Session{Declared: withTools}, request(offering("read", "write_file")), refused, policy.ToolNotAllowed,
			`the sampling policy does not allow the tool "write_file"`},
		"a tool whose name is long and no text": {testPolicy(capabilities(func(c *config.Capabilities) { c.ToolNames.Deny = []string{"*"} })),
			policy.Session{Declared: withTools}, request(offering(strings.Repeat("\n", 200))), refused, policy.ToolNotAllowed,
			`the sampling policy does not allow the tool "` + strings.Repeat(`\n`, 128) + `…"`},
		"a tool choice outside of the allowed": {testPolicy(capabilities(func(c *config.Capabilities) { c.ToolChoice = []string{"auto", "none"} })),
			policy.Session{Declared: withTools}, request(offering("t"), choosing("required")), refused, policy.ToolChoiceNotAllowed,
			"the sampling policy does not allow the tool choice required: it allows auto, none"},
		"tools without a choice, which means auto": {testPolicy(capabilities(func(c *config.Capabilities) { c.ToolChoice = []string{"none"} })),
			policy.Session{Declared: withTools}, request(offering("t")), refused, policy.ToolChoiceNotAllowed,
			"the sampling policy does not allow the tool choice auto: it allows none"},
		"a tool choice without a mode, which means auto": {testPolicy(capabilities(func(c *config.Capabilities) { c.ToolChoice = []string{"required"} })),
			policy.Session{Declared: withTools}, request(offering("t"), choosing("")), refused, policy.ToolChoiceNotAllowed,
			"the sampling policy does not allow the tool choice auto: it allows required"},
		"too many tools": {testPolicy(capabilities(func(c *config.Capabilities) { c.MaxTools = 1 })), policy.Session{Declared: withTools},
			request(offering("t", "u")), refused, policy.TooManyTools, "there are 2 tools, the sampling policy allows at most 1"},
		"an image": {testPolicy(noImages), policy.Session{}, request(saying(wire.Content{Type: wire.ContentText}, image)), refused, policy.ImagesDenied,
			"messages[1].content[1]: the sampling policy does not allow images"},
		"an image in a tool result": {testPolicy(noImages), policy.Session{Declared: withTools},
			request(saying(wire.Content{Type: wire.ContentToolResult, Content: []wire.Content{image}})), refused, policy.ImagesDenied,
			"messages[1].content[0]: the sampling policy does not allow images"},
		"an image in an embedded resource": {testPolicy(noImages), policy.Session{Declared: withTools}, request(saying(embedded("IMAGE/webp"))), refused, policy.ImagesDenied,
			"messages[1].content[0]: the sampling policy does not allow images"},
		"an image that is called audio": {testPolicy(noImages, capabilities(func(c *config.Capabilities) { c.Audio = config.Allow })), policy.Session{},
			request(saying(wire.Content{Type: wire.ContentAudio, MIMEType: "image/png", Data: "aGk="})), refused, policy.ImagesDenied,
			"messages[1].content[0]: the sampling policy does not allow images"},
		"audio where the policy says nothing": {testPolicy(), policy.Session{}, request(saying(audio)), refused, policy.AudioDenied,
			"messages[1].content[0]: the sampling policy does not allow audio"},
		"a video where images are denied": {testPolicy(noImages, capabilities(func(c *config.Capabilities) { c.Audio = config.Allow })), policy.Session{Declared: withTools},
			request(saying(embedded("video/mp4"))), refused, policy.ImagesDenied,
			"messages[1].content[0]: the sampling policy does not allow images, which a video has"},
		"a video where audio is denied": {testPolicy(), policy.Session{Declared: withTools}, request(saying(embedded("Video/webm"))), refused, policy.AudioDenied,
			"messages[1].content[0]: the sampling policy does not allow audio, which a video has"},
		"a PDF document where images are denied": {testPolicy(noImages), policy.Session{Declared: withTools}, request(saying(embedded("application/PDF; a=b"))), refused, policy.ImagesDenied,
			"messages[1].content[0]: the sampling policy does not allow images, which a PDF document may have"},
		"audio in an embedded resource": {testPolicy(), policy.Session{Declared: withTools}, request(saying(embedded("audio/mpeg; x=y"))), refused, policy.AudioDenied,
			"messages[1].content[0]: the sampling policy does not allow audio"},
		"audio that is called an image": {testPolicy(), policy.Session{}, request(saying(wire.Content{Type: wire.ContentImage, MIMEType: "audio/wav", Data: "aGk="})),
			refused, policy.AudioDenied, "messages[1].content[0]: the sampling policy does not allow audio"},
		"a wish for context that the policy does not overlook": {testPolicy(capabilities(func(c *config.Capabilities) { c.IncludeContext = config.IncludeContextReject })),
			policy.Session{}, request(func(p *wire.SamplingParams) { p.IncludeContext = wire.ContextThisServer }), invalid, policy.ContextNotDeclared,
			"includeContext thisServer needs the client capability sampling.context, which was not declared"},
		"no maxTokens": {testPolicy(), policy.Session{}, request(func(p *wire.SamplingParams) { p.MaxTokens = 0 }), invalid, policy.MaxTokensMissing,
			"maxTokens: is missing"},
		"no maxTokens, and a limit alone": {testPolicy(manyTokens(config.ExceedClamp)), policy.Session{}, request(func(p *wire.SamplingParams) { p.MaxTokens = 0 }),
			invalid, policy.MaxTokensMissing, "maxTokens: is missing"},
		"too many tokens": {testPolicy(manyTokens(config.ExceedReject)), policy.Session{}, request(func(p *wire.SamplingParams) { p.MaxTokens = 101 }), refused,
			policy.MaxTokensExceeded, "maxTokens is 101, the sampling policy allows at most 100"},
		"too many stop sequences": {testPolicy(func(p *config.Policy) { p.Parameters.StopSequences = &config.StopSequencesLimits{Max: 1} }), policy.Session{},
			request(func(p *wire.SamplingParams) { p.StopSequences = []string{"a", "b"} }), refused, policy.TooManyStopSequences,
			"there are 2 stopSequences, the sampling policy allows at most 1"},
		"a loop within one call": {testPolicy(func(p *config.Policy) { p.Limits.RequestsPerCall = 3 }), policy.Session{InCall: 4}, request(), refused,
			policy.TooManyInCall, "the sampling policy's limit requestsPerCall (3) is used up for this call"},
		"a request that alone is above a limit on tokens": {testPolicy(func(p *config.Policy) { p.Limits.PerSession.TokensPerDay = 60 }), policy.Session{},
			request(func(p *wire.SamplingParams) { p.MaxTokens = 61 }), refused, policy.LimitTooSmall,
			"the sampling policy's limit perSession.tokensPerDay is 60, and the request alone may use 77 tokens: ask for a lower maxTokens, or with less text"},
		"a request with too many bytes": {testPolicy(func(p *config.Policy) { p.Limits.RequestBytes = 1000 }), policy.Session{RequestBytes: 1001}, request(), refused,
			policy.RequestTooLarge, "the request has 1001 bytes, the sampling policy's limit requestBytes is 1000"},
		"hints none of which matches, where one must": {testPolicy(func(p *config.Policy) { p.Models.OnUnknownHint = config.UnknownHintReject }), policy.Session{},
			request(hinting("llama", "gpt-5")), refused, policy.UnknownHint, "none of the model hints matches a model that the sampling policy allows"},
		"what the protocol forbids before what the policy does": {testPolicy(noTools, func(p *config.Policy) { p.Limits.RequestsPerCall = 1 }),
			policy.Session{Declared: plain, InCall: 2}, request(offering("t")), invalid, policy.ToolsNotDeclared,
			"tools and toolChoice need the client capability sampling.tools, which was not declared"},
	} {
		t.Run(name, func(t *testing.T) {
			d, got := policy.Decide(compile(t, tc.policy), tc.session, tc.params)
			if got == nil || d != nil {
				t.Fatalf("decided %+v, refusal %+v; want a refusal alone", d, got)
			}
			if diff := cmp.Diff(policy.Refusal{Code: tc.wantCode, Reason: tc.wantReason, Message: tc.wantText}, *got); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

// What stands just inside of each limit is answered.
func TestDecideAllows(t *testing.T) {
	for name, tc := range map[string]struct {
		policy  *config.Policy
		session policy.Session
		params  *wire.SamplingParams
	}{
		"tools by a glob, by their name, and the choice that is left": {testPolicy(capabilities(func(c *config.Capabilities) {
			c.ToolNames = config.ToolNames{Allow: []string{"read_*", "final_response"}, Deny: []string{"read_secret?"}}
			c.ToolChoice = []string{"required"}
			c.MaxTools = 3
		})), policy.Session{Declared: withTools}, request(offering("read_file", "read_secret", "final_response"), choosing("required"))},
		"no tools where no choice is allowed": {testPolicy(capabilities(func(c *config.Capabilities) { c.ToolChoice = []string{"required"} })),
			policy.Session{Declared: withTools}, request()},
		"an image where the policy says nothing": {testPolicy(), policy.Session{},
			request(saying(wire.Content{Type: wire.ContentImage, MIMEType: "image/png", Data: "aGk="}))},
		"audio where it is allowed": {testPolicy(capabilities(func(c *config.Capabilities) { c.Audio = config.Allow })), policy.Session{},
			request(saying(wire.Content{Type: wire.ContentAudio, MIMEType: "audio/wav", Data: "aGk="}))},
		"a drawing that is a text, and a link to an image": {testPolicy(capabilities(func(c *config.Capabilities) { c.Images = config.Deny })),
			policy.Session{Declared: withTools}, request(saying(wire.Content{Type: wire.ContentToolResult, Content: []wire.Content{
				{Type: wire.ContentResource, Resource: &wire.Resource{URI: "u:", MIMEType: "image/svg+xml", Text: "<svg/>"}},
				{Type: wire.ContentResourceLink, URI: "u:", MIMEType: "image/png"}}}))},
		"the context that there is anyway": {testPolicy(capabilities(func(c *config.Capabilities) { c.IncludeContext = config.IncludeContextReject })),
			policy.Session{}, request(func(p *wire.SamplingParams) { p.IncludeContext = wire.ContextNone })},
		"as many stop sequences, requests in a call, and bytes as there may be": {testPolicy(func(p *config.Policy) {
			p.Parameters.StopSequences = &config.StopSequencesLimits{Max: 1}
			p.Limits.RequestsPerCall, p.Limits.RequestBytes = 3, 1000
		}), policy.Session{InCall: 3, RequestBytes: 1000}, request(func(p *wire.SamplingParams) { p.StopSequences = []string{"a"} })},
		"empty hints, where one must match": {testPolicy(func(p *config.Policy) { p.Models.OnUnknownHint = config.UnknownHintReject }), policy.Session{},
			request(hinting("", " "))},
	} {
		t.Run(name, func(t *testing.T) {
			if _, refusal := policy.Decide(compile(t, tc.policy), tc.session, tc.params); refusal != nil {
				t.Errorf("refused: %+v", refusal)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*config.Policy)
		want   string
	}{
		"a default that is not allowed":     {func(p *config.Policy) { p.Models.Default = "gpt-5" }, `models.default: "gpt-5" is not in models.allowed`},
		"a fallback that is not allowed":    {func(p *config.Policy) { p.Models.Fallbacks = []string{"mini", "gpt-5"} }, `models.fallbacks[1]: "gpt-5" is not in models.allowed`},
		"a pattern that is no regular one":  {func(p *config.Policy) { p.Redaction = []config.RedactionRule{{Pattern: "a"}, {Pattern: "("}} }, "redaction[1].pattern: error parsing regexp"},
		"a pattern that RE2 does not know":  {func(p *config.Policy) { p.Redaction = []config.RedactionRule{{Pattern: `(a)\1`}} }, "redaction[0].pattern: error parsing regexp"},
		"a policy that allows no model yet": {func(p *config.Policy) { p.Models.Allowed = nil }, `models.default: "mini" is not in models.allowed`},
	} {
		p, err := policy.Compile(testPolicy(tc.change))
		if p != nil || err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: compiled %v, error %v; want %q", name, p != nil, err, tc.want)
		}
	}
}
