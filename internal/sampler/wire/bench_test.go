package wire

import (
	"fmt"
	"strings"
	"testing"
)

// What is done for each message, on messages of a usual size:
//
//	go test ./internal/sampler/wire -run '^$' -bench . -benchmem
var (
	benchText = strings.Repeat("x", 1000)
	benchCall = []byte(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"text":"` + benchText + `"}}}`)
	// The same in the era without sessions.
	benchStateless = []byte(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{"text":"` + benchText +
		`"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},` +
		`"io.modelcontextprotocol/clientCapabilities":{}}}}`)
	benchResult     = []byte(`{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"` + benchText + `"}]}}`)
	benchSampling   = []byte(`{"messages":[{"role":"user","content":{"type":"text","text":"` + benchText + `"}}],"systemPrompt":"Be short.","maxTokens":100}`)
	benchInitialize = []byte(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25",` +
		`"capabilities":{"roots":{"listChanged":true}},"clientInfo":{"name":"c","version":"1"}}}`)
)

func BenchmarkSmallMessage(b *testing.B) {
	for name, data := range map[string][]byte{"call": benchCall, "result": benchResult} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseMessage(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDeclareSampling(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DeclareSampling(benchInitialize, SamplingCapability{Declared: true, Tools: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStateless(b *testing.B) {
	b.SetBytes(int64(len(benchStateless)))
	b.ReportAllocs()
	for b.Loop() {
		m, err := ParseMessage(benchStateless)
		if err != nil {
			b.Fatal(err)
		}
		_ = ReadStateless(m)
		if _, err := DeclareStateless(benchStateless, SamplingCapability{Declared: true, Tools: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMayAskForInput(b *testing.B) {
	b.SetBytes(int64(len(benchResult)))
	b.ReportAllocs()
	for b.Loop() {
		if MayAskForInput(benchResult) {
			b.Fatal("a complete result asks for nothing")
		}
	}
}

func BenchmarkDecodeSamplingParams(b *testing.B) {
	for name, data := range map[string][]byte{"small": benchSampling, "50 messages, 32 tools": benchConversation()} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeSamplingParams(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchConversation is a request late in a loop of tools.
func benchConversation() []byte {
	var messages, tools []string
	text := benchText[:200]
	for i := range 25 {
		messages = append(messages,
			fmt.Sprintf(`{"role":"assistant","content":[{"type":"text","text":"%s"},{"type":"tool_use","id":"u%d","name":"t","input":{"query":"%s"}}]}`, text, i, text),
			fmt.Sprintf(`{"role":"user","content":[{"type":"tool_result","toolUseId":"u%d","content":[{"type":"text","text":"%s"}]}]}`, i, text))
	}
	for i := range 32 {
		tools = append(tools, fmt.Sprintf(`{"name":"tool_%d","description":"%s","inputSchema":{"type":"object","properties":{"query":{"type":"string"}}}}`, i, text))
	}
	return []byte(`{"messages":[` + strings.Join(messages, ",") + `],"tools":[` + strings.Join(tools, ",") + `],"maxTokens":100}`)
}

func BenchmarkAppendResult(b *testing.B) {
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		out = AppendResult(out[:0], []byte("7"), benchSampling)
	}
	if len(out) == 0 {
		b.Fatal("nothing appended")
	}
}
