package anthropic_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/testing/fakeanthropic"
)

func TestRequestsThatTheAPICannotExpress(t *testing.T) {
	plain := asks(user(text("hi")))
	offers := func(name, schema string) provider.Request {
		return with(plain, func(r *provider.Request) {
			r.Tools = []wire.Tool{{Name: name, InputSchema: json.RawMessage(schema)}}
		})
	}
	vendors := func(r provider.Request) provider.Request {
		return with(r, func(r *provider.Request) { r.Model = "claude-sonnet-4-5" })
	}
	for name, tc := range map[string]struct {
		request provider.Request
		want    string
	}{
		"audio":                                {asks(user(wav)), "no audio"},
		"audio in a tool's result":             {asks(called(result("a", wav))...), "no audio"},
		"audio in a resource":                  {asks(called(result("a", resource("audio/wav", "", "aGk=")))...), "no audio"},
		"an image of the assistant":            {asks(user(text("hi")), assistant(png), user(text("hi"))), "image content in user messages only"},
		"audio of the assistant":               {asks(user(text("hi")), assistant(wav), user(text("hi"))), "audio content in user messages only"},
		"an image beside a tool call":          {asks(user(text("hi")), assistant(use("a", "f", `{}`), png), user(result("a"))), "image content in user messages only"},
		"an image of another type":             {asks(user(wire.Content{Type: wire.ContentImage, Data: "aGk=", MIMEType: "image/tiff"})), "image/jpeg, image/png, image/gif and image/webp only"},
		"an image of another type in a result": {asks(called(result("a", resource("image/svg+xml", "", "aGk=")))...), "image/jpeg, image/png, image/gif and image/webp only"},
		"a resource of another type":           {asks(called(result("a", resource("application/zip", "", "aGk=")))...), "text, images and PDF documents only"},
		"a text resource that is no text":      {asks(called(result("a", resource("text/plain", "", "/w==")))...), "text, images and PDF documents only"},
		"content of an unknown type":           {asks(user(wire.Content{Type: "video"})), "no content of type video"},
		"a result that answers nothing":        {asks(user(result("a"))), "answers no tool_use"},
		"an input that is no object":           {asks(user(text("hi")), assistant(use("a", "f", `[]`)), user(result("a"))), "not a JSON object"},
		"structured content that is no JSON":   {asks(called(structured(result("a"), `{`))...), "not valid JSON"},
		"no messages":                          {asks(), "there are no messages"},
		"nothing but white space":              {asks(user(text(" "))), "nothing but white space"},
		"white space at the end":               {asks(user(text("a")), assistant(text("b")), user(text(" "))), "nothing but white space"},
		"a temperature above one":              {with(plain, func(r *provider.Request) { r.Temperature = new(1.5) }), "temperature from 0 to 1"},
		"a temperature below zero":             {with(plain, func(r *provider.Request) { r.Temperature = new(-0.5) }), "temperature from 0 to 1"},
		"a stop sequence of white space":       {with(plain, func(r *provider.Request) { r.StopSequences = []string{"END", "\n\n"} }), "stop sequence of white space"},
		"an empty stop sequence":               {with(plain, func(r *provider.Request) { r.StopSequences = []string{""} }), "stop sequence of white space"},
		"a schema of a list":                   {offers("f", `{"type":"array"}`), `tool "f" must have the type object`},
		"a schema of several types":            {offers("f", `{"type":["object","null"]}`), `tool "f" must have the type object`},
		"a schema that is no object":           {offers("f", `true`), "not a JSON schema"},
		"two tools of one name": {with(offers("f", `{"type":"object"}`), func(r *provider.Request) { r.Tools = append(r.Tools, r.Tools[0]) }),
			`two tools have the name "f"`},
		"a choice at the top of a schema":      {vendors(offers("f", `{"type":"object","anyOf":[{"required":["a"]}]}`)), `no oneOf, anyOf or allOf at the top`},
		"an argument with a space in its name": {vendors(offers("f", `{"type":"object","properties":{"a b":{}}}`)), "names of arguments"},
	} {
		t.Run(name, func(t *testing.T) {
			model := fakeanthropic.New()
			_, err := connect(t, model).CreateMessage(t.Context(), tc.request)
			var refused *provider.UnsupportedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want an UnsupportedError that says %q", err, tc.want)
			}
			if n := len(model.Requests()); n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

// What models of a family refuse, as their migration guides say.
func TestModelFamilies(t *testing.T) {
	const all, none = "temperature prefill tool", ""
	for model, wantRefused := range map[string]string{
		"claude-3-5-sonnet-20241022":         none,
		"claude-3-haiku-20240307":            none,
		"claude-opus-4-20250514":             none,
		"claude-opus-4-1":                    none,
		"claude-sonnet-4-0":                  none,
		"claude-opus-4-5-20251101":           none,
		"claude-sonnet-4-5":                  none,
		"claude-haiku-4-5-20251001":          none,
		"claude-mythos-preview":              "prefill",
		"claude-opus-4-6":                    "prefill",
		"claude-sonnet-4-6":                  "prefill",
		"claude-opus-4-7":                    "temperature prefill",
		"claude-opus-4-8":                    "temperature prefill",
		"claude-opus-5":                      "temperature prefill",
		"claude-sonnet-5":                    "temperature prefill",
		"claude-sonnet-5[1m]":                "temperature prefill",
		"claude-haiku-5-5":                   "temperature prefill",
		"claude-fable-5":                     "temperature prefill",
		"claude-mythos-5":                    "temperature prefill",
		"claude-opus-5-5":                    all,
		"claude-sonnet-5-5":                  all,
		"claude-fable-5-1":                   all,
		"claude-mythos-5-1":                  all,
		"claude-opus-6-20270101":             all,
		"claude-next":                        none,
		"SmolLM2-135M-Instruct":              none,
		"gateway/claude-opus-5-5":            none,
		"anthropic.claude-opus-4-7-20260401": none,
	} {
		for what, request := range map[string]provider.Request{
			"temperature": with(asks(user(text("hi"))), func(r *provider.Request) { r.Temperature = new(0.2) }),
			"prefill":     asks(user(text("hi")), assistant(text("so"))),
			"tool": with(asks(user(text("hi"))), func(r *provider.Request) {
				r.Tools = []wire.Tool{{Name: "f", InputSchema: json.RawMessage(`{"type":"object"}`)}}
				r.ToolChoice = wire.ToolChoiceRequired
			}),
		} {
			t.Run(model+" "+what, func(t *testing.T) {
				fake := fakeanthropic.New()
				_, err := connect(t, fake).CreateMessage(t.Context(), with(request, func(r *provider.Request) { r.Model = model }))
				var refused *provider.UnsupportedError
				if errors.As(err, &refused) != strings.Contains(wantRefused, what) {
					t.Errorf("error %v; want %q refused and nothing else", err, wantRefused)
				}
				if err == nil && len(fake.Requests()) != 1 {
					t.Error("nothing was sent")
				}
			})
		}
	}
}

func TestTheDefaultTemperatureIsLeftOutWhereNoneIsTaken(t *testing.T) {
	model := fakeanthropic.New()
	if _, err := connect(t, model).CreateMessage(t.Context(), with(asks(user(text("hi"))), func(r *provider.Request) {
		r.Model, r.Temperature = "claude-opus-5", new(1.0)
	})); err != nil {
		t.Fatal(err)
	}
	if body := sent(t, model); strings.Contains(body, "temperature") {
		t.Errorf("a temperature was sent: %s", body)
	}
}
