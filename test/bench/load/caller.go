package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/test/bench/peer"
)

// Era is a family of protocol versions.
type Era string

// Eras.
const (
	Legacy Era = "legacy"
	Modern Era = "modern"
)

// textBytes is the length of the text that tools get.
const textBytes = 1000

// Target is where callers call.
type Target struct {
	// Addr is host:port, Path that of the MCP endpoint.
	Addr, Path string
	// Samples means that callers answer sampling themselves, at once.
	Samples bool
}

// Caller is an MCP client with one session (or, without sessions, one
// connection), used by one goroutine.
type Caller struct {
	target Target
	era    Era
	calls  conn
	// answers carries what is sent while a call runs.
	answers conn
	session string
	text    string
	next    int
	owed    bool // a response on answers that nobody has read

	// stream is the session's own.
	stream             *conn
	hungUp, streamOver chan struct{}

	heads map[string]string // by method and tool
	buf   []byte
	asked bool
	reply []byte
	seen  bool
}

// NewCaller returns a caller that says its number in every call.
func NewCaller(t Target, era Era, number int) *Caller {
	prefix := fmt.Sprintf("caller %08d ", number)
	return &Caller{
		target: t, era: era, calls: conn{addr: t.Addr}, answers: conn{addr: t.Addr},
		text: prefix + strings.Repeat("x", textBytes-len(prefix)),
		next: 10_000_000, heads: map[string]string{},
	}
}

// Open begins the session, where there are sessions.
func (c *Caller) Open() error {
	if c.era == Modern {
		return nil
	}
	if err := c.Initialize(); err != nil {
		return err
	}
	resp, err := c.exchange(&c.calls, c.head("notifications/initialized", ""), []byte(`{"jsonrpc":"2.0","method":"notifications/initialized"}`), nil)
	if err != nil {
		return fmt.Errorf("notifications/initialized: %w", err)
	}
	if resp.status != http.StatusAccepted {
		return fmt.Errorf("notifications/initialized: status %d: %s", resp.status, short(resp.body))
	}
	return nil
}

// Initialize does the first half of Open.
func (c *Caller) Initialize() error {
	capabilities := "{}"
	if c.target.Samples {
		capabilities = `{"sampling":{}}`
	}
	body := `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + peer.Legacy + `","capabilities":` +
		capabilities + `,"clientInfo":{"name":"bench","version":"1.0.0"}}}`
	resp, err := c.exchange(&c.calls, c.head("initialize", ""), []byte(body), nil)
	if err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	if resp.status != http.StatusOK || resp.session == "" {
		return fmt.Errorf("initialize: status %d, session %q: %s", resp.status, resp.session, short(resp.body))
	}
	c.session = resp.session
	return nil
}

// Close ends the session and its connections.
func (c *Caller) Close() error {
	c.Hangup()
	defer c.calls.close()
	defer c.answers.close()
	if c.session == "" {
		return nil
	}
	head := strings.Replace(c.head("end", ""), "POST ", "DELETE ", 1)
	resp, err := c.exchange(&c.calls, head, nil, nil)
	if err != nil {
		return fmt.Errorf("end the session: %w", err)
	}
	if resp.status >= http.StatusBadRequest && resp.status != http.StatusMethodNotAllowed {
		return fmt.Errorf("end the session: status %d", resp.status)
	}
	return nil
}

// Rest closes the connection for calls until the next one, as callers do that
// have nothing to say for some seconds.
func (c *Caller) Rest() {
	c.calls.close()
	c.answers.close()
}

// Drop closes the connections and leaves the session to the server.
func (c *Caller) Drop() {
	c.Hangup()
	c.Rest()
}

// Call calls a tool and checks what it gives.
func (c *Caller) Call(tool string) error {
	c.asked, c.seen, c.owed = false, false, false
	head := c.head("tools/call", tool)
	body := c.callBody(tool, nil)
	resp, err := c.exchange(&c.calls, head, body, c.onEvent)
	if err != nil {
		return fmt.Errorf("call %s: %w", tool, err)
	}
	if !resp.isEvents {
		if err := c.onEvent(resp.body); err != nil {
			return err
		}
	}
	if c.asked && c.era == Modern {
		c.asked = false
		if _, err = c.exchange(&c.calls, head, c.callBody(tool, c.reply), c.onEvent); err != nil {
			return fmt.Errorf("call %s again: %w", tool, err)
		}
	}
	if c.owed {
		c.owed = false
		answered, err := c.answers.read(nil)
		if err != nil {
			return fmt.Errorf("answer sampling: %w", err)
		}
		if answered.status != http.StatusAccepted {
			return fmt.Errorf("answer sampling: status %d: %s", answered.status, short(answered.body))
		}
	}
	if !c.seen || resp.status != http.StatusOK {
		return fmt.Errorf("call %s: status %d, not what was asked for: %s", tool, resp.status, short(resp.body))
	}
	return nil
}

// onEvent looks at one message of the server.
func (c *Caller) onEvent(data []byte) error {
	if c.target.Samples {
		switch {
		case c.era == Legacy && bytes.Contains(data, []byte(`"sampling/createMessage"`)):
			return c.answer(data)
		case c.era == Modern && bytes.Contains(data, []byte(`"input_required"`)):
			return c.prepare(data)
		}
	}
	if bytes.Contains(data, []byte(c.text)) && !bytes.Contains(data, []byte(`"isError":true`)) && bytes.Contains(data, []byte(`"result"`)) {
		c.seen = true
	}
	return nil
}

func (c *Caller) samplingResult() string {
	return `{"role":"assistant","content":{"type":"text","text":"` + c.text + `"},"model":"none","stopReason":"endTurn"}`
}

// answer answers a sampling request beside the call.
func (c *Caller) answer(data []byte) error {
	var request struct {
		ID json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal(data, &request); err != nil {
		return fmt.Errorf("read a sampling request: %w", err)
	}
	body := append(append([]byte(`{"jsonrpc":"2.0","id":`), request.ID...), `,"result":`...)
	body = append(append(body, c.samplingResult()...), '}')
	if err := c.answers.write(c.head("answer", ""), body); err != nil {
		return fmt.Errorf("answer sampling: %w", err)
	}
	c.owed = true
	return nil
}

// prepare keeps what answers an input request, for the next round.
func (c *Caller) prepare(data []byte) error {
	var m struct {
		Result struct {
			Requests map[string]json.RawMessage `json:"inputRequests"`
			State    json.RawMessage            `json:"requestState"`
		} `json:"result"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("read input requests: %w", err)
	}
	c.reply = append(c.reply[:0], `,"requestState":`...)
	c.reply = append(append(c.reply, m.Result.State...), `,"inputResponses":{`...)
	for key := range m.Result.Requests {
		c.reply = append(append(append(c.reply, '"'), key...), `":`...)
		c.reply = append(append(c.reply, c.samplingResult()...), ',')
	}
	c.reply[len(c.reply)-1] = '}'
	c.asked = true
	return nil
}

// callBody is a tools/call with a new id and what else stands in its parameters.
func (c *Caller) callBody(tool string, more []byte) []byte {
	c.next++
	c.buf = append(c.buf[:0], `{"jsonrpc":"2.0","id":`...)
	c.buf = strconv.AppendInt(c.buf, int64(c.next), 10)
	c.buf = append(append(append(c.buf, `,"method":"tools/call","params":{"name":"`...), tool...), `","arguments":{"text":"`...)
	c.buf = append(append(append(c.buf, c.text...), `"}`...), more...)
	if c.era == Modern {
		c.buf = append(c.buf, `,"_meta":{"io.modelcontextprotocol/protocolVersion":"`+peer.Modern+
			`","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1.0.0"},"io.modelcontextprotocol/clientCapabilities":`...)
		if c.target.Samples {
			c.buf = append(c.buf, `{"sampling":{}}}`...)
		} else {
			c.buf = append(c.buf, `{}}`...)
		}
	}
	return append(c.buf, "}}"...)
}

// head is a request's header, without its length.
func (c *Caller) head(method, tool string) string {
	key := method + " " + tool
	if head := c.heads[key]; head != "" {
		return head
	}
	head := "POST " + c.target.Path + " HTTP/1.1\r\nHost: " + c.target.Addr + "\r\nContent-Type: application/json\r\n" +
		"Accept: application/json, text/event-stream\r\nUser-Agent: bench\r\n"
	switch {
	case c.era == Modern:
		head += "Mcp-Protocol-Version: " + peer.Modern + "\r\nMcp-Method: " + method + "\r\n"
		if tool != "" {
			head += "Mcp-Name: " + tool + "\r\n"
		}
	case c.session != "":
		head += "Mcp-Protocol-Version: " + peer.Legacy + "\r\nMcp-Session-Id: " + c.session + "\r\n"
	default:
		return head // not to be kept: it has no session yet
	}
	c.heads[key] = head
	return head
}

func (c *Caller) exchange(on *conn, head string, body []byte, onEvent func([]byte) error) (response, error) {
	if err := on.write(head, body); err != nil {
		return response{}, err
	}
	return on.read(onEvent)
}

// short is the begin of a body, for errors.
func short(b []byte) []byte { return b[:min(len(b), 200)] }
