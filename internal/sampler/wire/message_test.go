package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseMessage(t *testing.T) {
	for name, tc := range map[string]struct {
		data             string
		want             Message
		wantRequest      bool
		wantNotification bool
		wantResponse     bool
		wantErr          bool
	}{
		"a request": {
			data:        `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"a":[1,{"b":"}"}]}}`,
			want:        Message{ID: raw(`7`), Method: "tools/call", Params: raw(`{"a":[1,{"b":"}"}]}`)},
			wantRequest: true,
		},
		"a request with a string as id, members in another order": {
			data:        ` { "params" : { } , "method" : "ping" , "id" : "x\"y" } `,
			want:        Message{ID: raw(`"x\"y"`), Method: "ping", Params: raw(`{ }`)},
			wantRequest: true,
		},
		"a notification": {
			data:             `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
			want:             Message{Method: "notifications/initialized"},
			wantNotification: true,
		},
		"an id of null asks for no answer": {
			data:             `{"id":null,"method":"x"}`,
			want:             Message{ID: raw(`null`), Method: "x"},
			wantNotification: true,
		},
		"a result": {
			data:         `{"id":0,"result":{}}`,
			want:         Message{ID: raw(`0`), Result: raw(`{}`)},
			wantResponse: true,
		},
		"an error": {
			data:         `{"id":0,"error":{"code":-1}}`,
			want:         Message{ID: raw(`0`), Error: raw(`{"code":-1}`)},
			wantResponse: true,
		},
		"a method spelled with escapes": {
			data:        `{"id":1,"meth\u006fd":"sampling\/createMessage"}`,
			want:        Message{ID: raw(`1`), Method: MethodSampling},
			wantRequest: true,
		},
		"the last of a member counts": {
			data:        `{"id":1,"method":"a","method":"b","id":2}`,
			want:        Message{ID: raw(`2`), Method: "b"},
			wantRequest: true,
		},
		"names count by their case": {
			data: `{"ID":1,"Method":"a"}`,
		},
		"neither method nor result": {data: `{"id":1}`, want: Message{ID: raw(`1`)}},
		"an empty object":           {data: `{}`},
		"a method that is no text":  {data: `{"id":1,"method":7}`, wantErr: true},
		"a batch":                   {data: ` [{"id":1}]`, wantErr: true},
		"no object":                 {data: `"x"`, wantErr: true},
		"nothing":                   {wantErr: true},
		"cut off in a string":       {data: `{"id":"1`, wantErr: true},
		"cut off in an escape":      {data: `{"id":"1\`, wantErr: true},
		"cut off in an object":      {data: `{"params":{"a":{}`, wantErr: true},
		"cut off after a member":    {data: `{"id":1`, wantErr: true},
		"cut off after a name":      {data: `{"id"`, wantErr: true},
		"a member without value":    {data: `{"id":}`, wantErr: true},
		"a comma at the end":        {data: `{"id":1,}`, wantErr: true},
		"two values":                {data: `{"id":1}{"id":2}`, wantErr: true},
		"a name that is no string":  {data: `{id:1}`, wantErr: true},
		"a broken escape in a name": {data: `{"\x":1}`, wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseMessage([]byte(tc.data))
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v, want error: %t", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			kinds := [3]bool{got.IsRequest(), got.IsNotification(), got.IsResponse()}
			if want := [3]bool{tc.wantRequest, tc.wantNotification, tc.wantResponse}; kinds != want {
				t.Errorf("request, notification, response: %v, want %v", kinds, want)
			}
		})
	}
}

func TestBatchIsToldApart(t *testing.T) {
	if _, err := ParseMessage([]byte("\n[]")); !errors.Is(err, ErrBatch) {
		t.Errorf("error %v, want %v", err, ErrBatch)
	}
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func TestKey(t *testing.T) {
	for name, tc := range map[string]struct {
		a, b      string
		wantEqual bool
	}{
		"equal numbers":              {`1`, `1`, true},
		"number and string":          {`1`, `"1"`, false},
		"string with another escape": {`"a\/b"`, `"a/b"`, true},
		"different strings":          {`"a"`, `"b"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (Message{ID: raw(tc.a)}.Key() == Message{ID: raw(tc.b)}.Key()); got != tc.wantEqual {
				t.Errorf("equal: %t, want %t", got, tc.wantEqual)
			}
		})
	}
}

func TestCancelledKey(t *testing.T) {
	for name, tc := range map[string]struct{ data, want string }{
		"a number":       {`{"method":"notifications/cancelled","params":{"requestId":3,"reason":"x"}}`, `3`},
		"a string":       {`{"method":"notifications/cancelled","params":{"requestId":"3"}}`, `"3"`},
		"no params":      {`{"method":"notifications/cancelled"}`, ``},
		"no id":          {`{"method":"notifications/cancelled","params":{}}`, ``},
		"another method": {`{"method":"notifications/progress","params":{"requestId":3}}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ParseMessage([]byte(tc.data))
			if err != nil {
				t.Fatal(err)
			}
			if got := m.CancelledKey(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAppendResponses(t *testing.T) {
	for name, tc := range map[string]struct{ got, want string }{
		"a result": {
			string(AppendResult(nil, raw(`"x"`), raw(`{"a":1}`))),
			`{"jsonrpc":"2.0","id":"x","result":{"a":1}}`,
		},
		"an error": {
			string(AppendError([]byte("> "), raw(`1`), &Error{Code: -1, Message: `no "way"`})),
			`> {"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no \"way\""}}`,
		},
		"an error whose request is not known": {
			string(AppendError(nil, nil, &Error{Code: -32600, Message: "bad"})),
			`{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"bad"}}`,
		},
		"an error whose data cannot be written": {
			string(AppendError(nil, raw(`1`), &Error{Code: 5, Message: "m", Data: raw(`{`)})),
			`{"jsonrpc":"2.0","id":1,"error":{"code":5,"message":"m"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got); diff != "" {
				t.Errorf("bytes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIsModern(t *testing.T) {
	for name, tc := range map[string]struct {
		data string
		want bool
	}{
		"by its params":             {data: `{"id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, want: true},
		"the first request":         {data: `{"id":1,"method":"server/discover"}`, want: true},
		"of the session era":        {data: `{"id":1,"method":"tools/list","params":{"_meta":{"progressToken":1}}}`},
		"without any version":       {data: `{"id":1,"method":"tools/list"}`},
		"with a version of no date": {data: `{"id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"latest"}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := ParseMessage([]byte(tc.data))
			if err != nil {
				t.Fatal(err)
			}
			if got := m.IsModern(); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

// FuzzParseMessage holds that what encoding/json reads as an object is read
// here, with the same members.
func FuzzParseMessage(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"a":[1,{"b":"}\\\""}]}}`,
		`{"id":"\u0031","result":{}}`, `{}`, `[]`, `{"a":`, `{"method":null}`,
		`{"id":1,"result":"\n\"\\"}`, `{"params":"\\\\\"}","id":"\\"}`, `{"\"id\\":1,"result":"\\\""}`, `{"id":"\"}`, `{"id":"\\\`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseMessage(data)
		var want map[string]json.RawMessage
		if json.Unmarshal(data, &want) != nil || want == nil {
			return
		}
		var method string
		if m := want["method"]; m != nil && json.Unmarshal(m, &method) != nil {
			return
		}
		if err != nil {
			t.Fatalf("error %v for JSON that is valid: %s", err, data)
		}
		for name, pair := range map[string][2]json.RawMessage{
			"id": {want["id"], got.ID}, "params": {want["params"], got.Params}, "result": {want["result"], got.Result},
		} {
			if string(pair[0]) != string(pair[1]) {
				t.Fatalf("%s: got %s, want %s", name, pair[1], pair[0])
			}
		}
	})
}

// TestParseMessageTakesLinearTime has a bound thousands of times above what a
// scan takes that looks at each byte once, and far below what one takes that
// looks at the rest of the string after each escape.
func TestParseMessageTakesLinearTime(t *testing.T) {
	const size, bound = 2 << 20, 3 * time.Second
	for name, unit := range map[string]string{
		"line ends":                     `\n`,
		"quotes":                        `\"`,
		"backslashes":                   `\\`,
		"backslashes before each quote": strings.Repeat(`\\`, 500) + `\"`,
	} {
		t.Run(name, func(t *testing.T) {
			text := `"` + strings.Repeat(unit, size/len(unit)) + `"`
			start := time.Now()
			m, err := ParseMessage([]byte(`{"jsonrpc":"2.0","id":7,"result":{"text":` + text + `}}`))
			took := time.Since(start)
			if err != nil {
				t.Fatal(err)
			}
			if want := len(`{"text":}`) + len(text); len(m.Result) != want {
				t.Errorf("the result has %d bytes, want %d", len(m.Result), want)
			}
			if took > bound {
				t.Errorf("%d bytes took %s", size, took)
			}
		})
	}
}

func BenchmarkParseMessage(b *testing.B) {
	for name, unit := range map[string]string{"plain": "aa", "line ends": `\n`, "quotes": `\"`, "backslashes": `\\`} {
		b.Run(name, func(b *testing.B) {
			text := strings.Repeat(unit, 32<<10)
			data := []byte(`{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"` + text + `"}]}}`)
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
