package bridge

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// fakeServerEnv makes this test binary a fake server. Its words say how it
// behaves.
const fakeServerEnv = "BRIDGE_FAKE_SERVER"

func TestMain(m *testing.M) {
	if how, ok := os.LookupEnv(fakeServerEnv); ok {
		runFakeServer(os.Stdin, os.Stdout, how)
		return
	}
	if os.Getenv(fakeInitEnv) != "" {
		runAsInit()
		return
	}
	goleak.VerifyTestMain(m)
}

// fakeServer is a stdio server of which each tool does one thing that servers
// do.
type fakeServer struct {
	how     string
	mu      sync.Mutex
	out     io.Writer
	lastID  int
	pending map[string]chan wire.Message
	// heard are the notifications that came.
	heard []string
}

func runFakeServer(in io.Reader, out io.Writer, how string) {
	s := &fakeServer{how: how, out: out, pending: map[string]chan wire.Message{}}
	if s.is("mute") {
		_, _ = io.Copy(io.Discard, in)
		return
	}
	if s.is("garbage") {
		for i := 0; i < 3; i++ {
			s.write("Starting up ...")
		}
		_, _ = io.Copy(io.Discard, in)
		return
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		m, err := wire.ParseMessage([]byte(lines.Text()))
		if err != nil {
			fmt.Fprintln(os.Stderr, "unreadable:", err)
			os.Exit(9)
		}
		switch {
		case m.IsRequest():
			if text(m.Params, "name") == "deaf" {
				select {}
			}
			go s.request(m)
		case m.IsNotification():
			s.mu.Lock()
			s.heard = append(s.heard, lines.Text())
			s.mu.Unlock()
		default:
			s.mu.Lock()
			waiting := s.pending[m.Key()]
			s.mu.Unlock()
			if waiting != nil {
				waiting <- m
			}
		}
	}
	if s.is("stubborn") {
		select {}
	}
}

func (s *fakeServer) is(word string) bool {
	for _, w := range strings.Fields(s.how) {
		if w == word {
			return true
		}
	}
	return false
}

func (s *fakeServer) write(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, format+"\n", args...)
}

func (s *fakeServer) result(m wire.Message, format string, args ...any) {
	s.write("%s", wire.AppendResult(nil, m.ID, fmt.Appendf(nil, format, args...)))
}

func (s *fakeServer) request(m wire.Message) {
	switch m.Method {
	case "initialize":
		switch {
		case s.is("refusing"):
			s.write(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no"}}`, m.ID)
		case s.is("strict") && member(m.Params, "_meta", wire.MetaVersion) != nil:
			s.write(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}`, m.ID)
		case s.is("crashing"):
			os.Exit(4)
		default:
			if s.is("chatty") {
				s.write(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"hello"}}`)
			}
			s.result(m, `{"protocolVersion":%q,"capabilities":{},"serverInfo":{"name":"fake","version":"%d"}}`,
				text(m.Params, "protocolVersion"), os.Getpid())
		}
	case "server/discover":
		fmt.Fprintln(os.Stderr, "asked")
		switch {
		case s.is("modern"):
			s.result(m, `{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25"],"capabilities":{}}`)
		case s.is("other-modern"):
			s.write(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32022,"message":"other","data":{"supported":["2027-01-01"]}}}`, m.ID)
		case s.is("silent"):
		case s.is("crashing"):
			os.Exit(4)
		default:
			s.write(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"initialize first"}}`, m.ID)
		}
	case "subscriptions/listen":
		s.write(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, m.ID)
		if s.is("closing") {
			s.write(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`, m.ID)
		}
	case "tools/list":
		s.result(m, `{"tools":[{"name":"echo","inputSchema":{"properties":{"text":{"type":"string","x-mcp-header":"Text"}}}}]}`)
	case "tools/call":
		s.call(m)
	default:
		s.write(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}`, m.ID)
	}
}

func (s *fakeServer) call(m wire.Message) {
	argument := text(m.Params, "arguments", "text")
	switch text(m.Params, "name") {
	case "echo":
		s.result(m, `{"text":%q}`, argument)
	case "told": // what came: the request's own id and progress token
		s.result(m, `{"id":%s,"token":%s,"pid":%d}`, m.ID, orNull(member(m.Params, "_meta", "progressToken")), os.Getpid())
	case "heard":
		s.mu.Lock()
		heard, _ := json.Marshal(s.heard)
		s.mu.Unlock()
		s.result(m, `{"heard":%s}`, heard)
	case "progress":
		s.write(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1}}`,
			member(m.Params, "_meta", "progressToken"))
		s.result(m, `{"text":"done"}`)
	case "log":
		s.write(`{"jsonrpc":"2.0","method":"notifications/message","params":{"data":%q}}`, argument)
		s.result(m, `{"text":"logged"}`)
	case "changed":
		s.write(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		s.result(m, `{"text":"changed"}`)
	case "sample":
		answer := s.ask(argument)
		s.result(m, `{"answer":%s,"error":%s}`, orNull(answer.Result), orNull(answer.Error))
	case "batch":
		s.write(`[{"jsonrpc":"2.0","method":"notifications/message","params":{}},{"jsonrpc":"2.0","id":%s,"result":{"text":"batched"}}]`, m.ID)
	case "noise":
		s.write("Starting up...\n\n{broken")
		s.result(m, `{"text":"quiet now"}`)
	case "stderr":
		fmt.Fprintf(os.Stderr, "%s\n", argument)
		s.result(m, `{"text":"said"}`)
	case "long":
		s.result(m, `{"text":%q}`, strings.Repeat("x", 1<<20))
	case "long-request":
		id := s.ask(strings.Repeat("x", 1<<20))
		s.result(m, `{"answer":null,"error":%s}`, orNull(id.Error))
	case "long-unknown":
		s.write("%s", `{"result":{"text":"`+strings.Repeat("x", 1<<20)+`"},"id":`+string(m.ID)+`,"jsonrpc":"2.0"}`)
	case "last-words":
		s.mu.Lock() // nothing else is written any more
		fmt.Fprintf(s.out, `{"jsonrpc":"2.0","id":%s,"result":{"text":"goodbye"}}`, m.ID)
		os.Exit(0)
	case "crash":
		os.Exit(3)
	case "orphan": // leaves a process behind that has a group of its own and holds the output
		_ = exec.Command("setsid", "sh", "-c", "sleep 4 &").Run()
		os.Exit(5)
	case "hang":
	default:
		s.write(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no such tool"}}`, m.ID)
	}
}

func (s *fakeServer) ask(prompt string) wire.Message {
	s.mu.Lock()
	s.lastID++
	id := fmt.Sprint(s.lastID)
	answered := make(chan wire.Message, 1)
	s.pending[id] = answered
	s.mu.Unlock()
	s.write(`{"jsonrpc":"2.0","id":%s,"method":"sampling/createMessage","params":{"prompt":%q}}`, id, prompt)
	return <-answered
}

func orNull(raw json.RawMessage) string {
	if raw == nil {
		return "null"
	}
	return string(raw)
}
