package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// readLines returns all lines of input; those that are too long end with "...".
func readLines(t testing.TB, r io.Reader, maxBytes int) []string {
	t.Helper()
	lines := newLineReader(r, maxBytes)
	var got []string
	for {
		line, tooLong, err := lines.next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if cap(lines.buf) > 2*maxBytes+2*readBuffer {
			t.Fatalf("%d bytes are held of lines of %d", cap(lines.buf), maxBytes)
		}
		text := string(line)
		if tooLong {
			text += "..."
		}
		got = append(got, text)
	}
}

func TestLines(t *testing.T) {
	for name, tc := range map[string]struct {
		input string
		want  []string
	}{
		"nothing":                           {"", nil},
		"one":                               {"abc\n", []string{"abc"}},
		"the end without a line end":        {"abc\ndef", []string{"abc", "def"}},
		"CRLF":                              {"abc\r\ndef\r\n", []string{"abc", "def"}},
		"empty ones":                        {"\n\r\nabc\n\n", []string{"", "", "abc", ""}},
		"a CR within stays":                 {"a\rb\n", []string{"a\rb"}},
		"as long as allowed":                {"12345678\n12345678\r\n12345678", []string{"12345678", "12345678", "12345678"}},
		"too long":                          {"123456789\nabc\n", []string{"12345678...", "abc"}},
		"too long by far":                   {strings.Repeat("x", 3*readBuffer) + "\nabc\n", []string{"xxxxxxxx...", "abc"}},
		"too long without an end":           {strings.Repeat("x", 3*readBuffer), []string{"xxxxxxxx..."}},
		"the line end after a full buffer":  {strings.Repeat("x", readBuffer) + "\nabc", []string{"xxxxxxxx...", "abc"}},
		"two line ends after a full buffer": {strings.Repeat("x", readBuffer-1) + "\r\n\nabc", []string{"xxxxxxxx...", "", "abc"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, readLines(t, strings.NewReader(tc.input), 8)); diff != "" {
				t.Errorf("at once (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, readLines(t, iotest.OneByteReader(strings.NewReader(tc.input)), 8)); diff != "" {
				t.Errorf("byte by byte (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("{\"a\":1}\n{\"b\":2}\r\n\r\n\nrest"), uint16(3), uint16(10))
	f.Add([]byte("x\r"), uint16(1), uint16(1))
	f.Add([]byte(strings.Repeat("y", 2*readBuffer)+"\r\nz"), uint16(readBuffer), uint16(5000))
	f.Fuzz(func(t *testing.T, input []byte, split, limit uint16) {
		maxBytes := int(limit)%9000 + 1
		cut := min(int(split), len(input))
		got := readLines(t, io.MultiReader(bytes.NewReader(input[:cut]), bytes.NewReader(input[cut:])), maxBytes)
		var want []string
		lines := bytes.Split(input, []byte("\n"))
		for i, line := range lines {
			if i == len(lines)-1 && len(bytes.TrimSuffix(line, []byte("\r"))) == 0 {
				break
			}
			line = bytes.TrimSuffix(line, []byte("\r"))
			if len(line) > maxBytes {
				want = append(want, string(line[:maxBytes])+"...")
				continue
			}
			want = append(want, string(line))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("split at %d (-want +got):\n%s", cut, diff)
		}
	})
}

func TestPeek(t *testing.T) {
	for name, tc := range map[string]struct {
		beginning, wantID, wantMethod string
	}{
		"a request":               {`{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage","params":{"x":"yyy`, "5", "sampling/createMessage"},
		"an answer":               {`{"jsonrpc":"2.0","id":"a","result":{"x":"yyy`, `"a"`, ""},
		"an id that is cut off":   {`{"jsonrpc":"2.0","id":"abc`, "", ""},
		"an id that comes last":   {`{"result":{"id":5,"x":"yyy`, "", ""},
		"a method that is none":   {`{"id":5,"method":7,"result":{`, "", ""},
		"no object":               {`[{"id":5`, "", ""},
		"nothing":                 {"", "", ""},
		"an id of another object": {`{"params":{"id":5},"method":"x","y":"`, "", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			id, method := peek([]byte(tc.beginning))
			if string(id) != tc.wantID || method != tc.wantMethod {
				t.Errorf("got %q, %q, want %q, %q", id, method, tc.wantID, tc.wantMethod)
			}
		})
	}
}

func TestReplace(t *testing.T) {
	for name, tc := range map[string]struct {
		object string
		path   []string
		want   string
	}{
		"a number":               {`{"a":{"b": 1 , "c":2}}`, []string{"a", "b"}, `{"a":{"b": "NEW" , "c":2}}`},
		"a string":               {`{"a":"x\"}\\"}`, []string{"a"}, `{"a":"NEW"}`},
		"an object":              {`{"a":{"a":[{"}":1}]},"b":1}`, []string{"a"}, `{"a":"NEW","b":1}`},
		"all of one name":        {`{"a":1,"b":{"a":2},"a":3}`, []string{"a"}, `{"a":"NEW","b":{"a":2},"a":"NEW"}`},
		"all on the way":         {`{"m":{"a":1},"m":{"a":2}}`, []string{"m", "a"}, `{"m":{"a":"NEW"},"m":{"a":"NEW"}}`},
		"an escaped name":        {`{"\u0061":1}`, []string{"a"}, `{"\u0061":"NEW"}`},
		"what is not there":      {`{"b":1}`, []string{"a"}, `{"b":1}`},
		"not on the way":         {`{"m":[{"a":1}]}`, []string{"m", "a"}, `{"m":[{"a":1}]}`},
		"an empty object":        {`{ }`, []string{"a"}, `{ }`},
		"no object":              {`7`, []string{"a"}, `7`},
		"nothing":                {``, []string{"a"}, ``},
		"the last before spaces": {"{\"a\":true\n}", []string{"a"}, "{\"a\":\"NEW\"\n}"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(replace([]byte(tc.object), []byte(`"NEW"`), tc.path...)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// FuzzRewriting proves that what a caller sends reaches the process with the
// ids of the bridge and otherwise says the same, and comes back with its own.
func FuzzRewriting(f *testing.F) {
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","_meta":{"progressToken":"t"}}}`))
	f.Add([]byte(`{"id":"a\u0062","method":"m","id":2,"params":{"_meta":{"progressToken":1,"progressToken":[]},"_meta":{"\u0070rogressToken":{"a":[1]}}}}`))
	f.Add([]byte("{\"method\":\"\\u00e4\",\r\n\"params\":[1],\"id\":1e3}"))
	f.Add([]byte(`{"id":1,"method":"m","params":{"_meta":7}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := wire.ParseMessage(body)
		if !json.Valid(body) || err != nil || !m.IsRequest() {
			return
		}
		x := &mux{kind: kind{rewrite: true, modern: true}, calls: map[string]*call{}, tokens: map[string]*call{}, running: map[inSession]*call{}}
		out := newQueue(1 << 20)
		c, line, err := x.begin(nil, m, body, out, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(line) || bytes.ContainsAny(line, "\r\n") {
			t.Fatalf("the process would get %q", line)
		}
		sent, err := wire.ParseMessage(line)
		if err != nil || string(sent.ID) != "1" || sent.Method != m.Method {
			t.Fatalf("the process would get %s: %v", line, err)
		}
		if token := member(sent.Params, "_meta", "progressToken"); token != nil && string(token) != "1" || (token == nil) != (c.token == nil) {
			t.Fatalf("the process would get the token %s", token)
		}
		// With the caller's token put back, the parameters are what they were.
		if c.token != nil && strings.Count(string(m.Params), "rogressToken") == 1 && !bytes.ContainsAny(m.Params, "\r\n") {
			if back := replace(sent.Params, c.token, "_meta", "progressToken"); !bytes.Equal(back, m.Params) {
				t.Fatalf("got %s, want %s", back, m.Params)
			}
		}
		x.route([]byte(`{"jsonrpc":"2.0","id":1,"result":{}}`))
		d, ok, _ := out.pop()
		if want := `{"jsonrpc":"2.0","id":` + string(m.ID) + `,"result":{}}`; !ok || !d.answer || string(d.data) != want {
			t.Fatalf("the caller would get %s, want %s", d.data, want)
		}
		if len(x.calls)+len(x.tokens)+len(x.running)+len(x.order) != 0 {
			t.Fatal("something of the call is left")
		}
	})
}
