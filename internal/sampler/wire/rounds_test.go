package wire

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestReadRound(t *testing.T) {
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	for name, tc := range map[string]struct {
		result string
		want   *Round
	}{
		"complete":           {result: `{"resultType":"complete","inputRequests":{}}`},
		"no type":            {result: `{"inputRequests":{}}`},
		"only in a text":     {result: `{"content":"input_required"}`},
		"a type of no text":  {result: `{"resultType":["input_required"]}`},
		"no object":          {result: `"input_required"`},
		"broken further in":  {result: `{"resultType":"input_required","x":{"a"}}`},
		"inputs of no names": {result: `{"resultType":"input_required","inputRequests":[{}]}`},
		"nothing asked for":  {result: `{"resultType":"input_required"}`, want: &Round{}},
		"null":               {result: `{"resultType":"input_required","inputRequests":null,"requestState":null}`, want: &Round{}},
		"an empty state":     {result: `{"resultType":"input_required","requestState":""}`, want: &Round{State: raw(`""`)}},
		"escaped names": {
			result: `{"r\u0065sultType":"input\u005frequired","inputRequests":{"\u0061":{"m\u0065thod":"x\/y","params":{ }}}}`,
			want:   &Round{Inputs: []Input{{Name: "a", Key: raw(`"\u0061"`), Method: "x/y", Params: raw(`{ }`)}}},
		},
		"inputs that cannot be read": {
			result: `{"resultType":"input_required","inputRequests":{"a":1,"b":{"method":2},"":null}}`,
			want:   &Round{Inputs: []Input{{Name: "a", Key: raw(`"a"`)}, {Name: "b", Key: raw(`"b"`)}, {Key: raw(`""`)}}},
		},
		"the last of two counts": {
			result: `{"resultType":"complete","inputRequests":{},"requestState":"1","resultType":"input_required","inputRequests":{"a":{"method":"1"},"b":{},"a":{"method":"2"}},"requestState":"2"}`,
			want:   &Round{Inputs: []Input{{Name: "a", Key: raw(`"a"`), Method: "2"}, {Name: "b", Key: raw(`"b"`)}}, State: raw(`"2"`)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := ReadRound(raw(tc.result))
			if ok != (tc.want != nil) {
				t.Fatalf("read: %t, want %t", ok, tc.want != nil)
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreUnexported(Round{}, Input{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRoundWith(t *testing.T) {
	round, ok := ReadRound(json.RawMessage(`{ "a": 1.0, "inputRequests":{"x": {"method":"m"} ,"\u0079":{ }}, "resultType":"input_required","requestState":"1","requestState":"2"}`))
	if !ok {
		t.Fatal("not read")
	}
	got, err := round.With(round.Inputs[1:], `s"`)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"a":1.0,"inputRequests":{"\u0079":{ }},"resultType":"input_required","requestState":"s\""}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRetry(t *testing.T) {
	for name, tc := range map[string]struct {
		body, id, responses, state string
		want                       string
		wantErr                    bool
	}{
		"all of it": {
			body: `{"jsonrpc":"2.0", "id":1,"method":"m","params":{"name":"x","arguments":{ "a": 1.0 }}}`, id: `"2"`, responses: `{"q":1}`, state: `"s\u0041"`,
			want: `{"jsonrpc":"2.0","id":"2","method":"m","params":{"name":"x","arguments":{ "a": 1.0 },"inputResponses":{"q":1},"requestState":"s\u0041"}}`,
		},
		"what was there before goes": {
			body: `{"id":1,"params":{"requestState":"1","name":"x","inputResponses":{"a":1},"\u0072equestState":"2"}}`, id: `2`,
			want: `{"id":2,"params":{"name":"x"}}`,
		},
		"in its place": {
			body: `{"id":1,"params":{"requestState":"1","name":"x"}}`, state: `"2"`,
			want: `{"id":1,"params":{"requestState":"2","name":"x"}}`,
		},
		"no params":              {body: `{"id":1}`, id: `2`, state: `""`, want: `{"id":2,"params":{"requestState":""}}`},
		"members twice":          {body: `{"id":1,"params":{"a":1},"id":2,"params":{"b":1}}`, id: `3`, want: `{"id":3,"params":{"b":1}}`},
		"params that are a list": {body: `{"id":1,"params":[]}`, wantErr: true},
		"no object":              {body: `[]`, wantErr: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Retry([]byte(tc.body), orNil(tc.id), orNil(tc.responses), orNil(tc.state))
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v, want error: %t", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func orNil(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}

func TestMergeResponses(t *testing.T) {
	ours := []InputAnswer{{Name: "q", Key: json.RawMessage(`"\u0071"`), Result: json.RawMessage(`{"r":1}`)}}
	for name, tc := range map[string]struct {
		caller string
		ours   []InputAnswer
		want   string
	}{
		"ours alone":                {ours: ours, want: `{"\u0071":{"r":1}}`},
		"beside the caller's":       {caller: `{ "a": 1.0 ,"b":{}}`, ours: ours, want: `{"a":1.0,"b":{},"\u0071":{"r":1}}`},
		"and not in place of ours":  {caller: `{"q":2,"a":1,"\u0071":3}`, ours: ours, want: `{"a":1,"\u0071":{"r":1}}`},
		"the caller's alone":        {caller: `{"a":1}`, want: `{"a":1}`},
		"a caller's that is a list": {caller: `[]`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := MergeResponses(orNil(tc.caller), tc.ours)
			if tc.want == "" {
				if !errors.Is(err, ErrInputResponses) {
					t.Errorf("error %v, want %v", err, ErrInputResponses)
				}
				return
			}
			if err != nil || string(got) != tc.want {
				t.Errorf("got %s, error %v, want %s", got, err, tc.want)
			}
		})
	}
}

func TestRestoreID(t *testing.T) {
	for name, tc := range map[string]struct{ message, want string }{
		"no other byte changes": {"{ \"jsonrpc\" : \"2.0\",\n\"id\" : \"new\" , \"result\":{\"id\": 1.0}}\n", "{ \"jsonrpc\" : \"2.0\",\n\"id\" : 7.0 , \"result\":{\"id\": 1.0}}\n"},
		"none":                  {`{"result":{}}`, `{"result":{}}`},
		"two":                   {`{"id":1,"\u0069d":2}`, `{"id":7.0,"\u0069d":7.0}`},
		"no object":             {`[]`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := RestoreID([]byte(tc.message), json.RawMessage("7.0"))
			if (err != nil) != (tc.want == "") || string(got) != tc.want {
				t.Errorf("got %s, error %v, want %s", got, err, tc.want)
			}
		})
	}
}

// FuzzRounds follows a request through a round: whatever the server answers, the
// retry asks for the same with the server's state as it was, and the caller finds
// its id in the response.
func FuzzRounds(f *testing.F) {
	f.Add([]byte(`{"id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":[1]},"requestState":"old"}}`),
		[]byte(`{"id":2,"result":{"resultType":"input_required","inputRequests":{"q":{"method":"sampling/createMessage","params":{}},"\u0071":1},"requestState":"\u0061"}}`),
		[]byte(`{"q":1,"z":2}`))
	f.Add([]byte(`{"id":"a"}`), []byte(`{"id":"a","result":{"resultType":"input_required"}}`), []byte(`null`))
	f.Add([]byte(`{"id":1,"id":2,"params":{}}`), []byte(`{"id":{"id":1},"result":{"resultType":"input_required","inputRequests":null,"requestState":""}}`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, request, response, callers []byte) {
		if !json.Valid(request) || !json.Valid(callers) {
			return
		}
		id := json.RawMessage(`"caller"`)
		if restored, err := RestoreID(response, id); err == nil {
			if m, err := ParseMessage(restored); err == nil && m.ID != nil && string(m.ID) != string(id) {
				t.Fatalf("%s became %s", response, restored)
			}
		}
		m, err := ParseMessage(response)
		if err != nil {
			return
		}
		round, ok := ReadRound(m.Result)
		if !ok {
			return
		}
		var ours []InputAnswer
		for _, input := range round.Inputs {
			ours = append(ours, InputAnswer{Name: input.Name, Key: input.Key, Result: json.RawMessage(`"ours"`)})
		}
		if with, err := round.With(round.Inputs, "sealed"); err != nil || !json.Valid(with) {
			t.Fatalf("%s became %s, error %v", m.Result, with, err)
		}
		responses, err := MergeResponses(callers, ours)
		if err != nil {
			return
		}
		retry, err := Retry(request, id, responses, round.State)
		if err != nil {
			return
		}
		if !json.Valid(retry) {
			t.Fatalf("the retry is %s", retry)
		}
		again, err := ParseMessage(retry)
		if err != nil || string(again.ID) != string(id) {
			t.Fatalf("the retry is %s, error %v", retry, err)
		}
		said := ReadStateless(again)
		if string(said.State) != string(round.State) {
			t.Fatalf("the state %s became %s", round.State, said.State)
		}
		before, err := ParseMessage(request)
		if err != nil {
			t.Fatal(err)
		}
		if before.Params != nil && !slices.Equal(CanonicalParams(before.Params), CanonicalParams(again.Params)) {
			t.Fatalf("%s became %s", before.Params, again.Params)
		}
		var got map[string]json.RawMessage
		if json.Unmarshal(said.InputResponses, &got) != nil {
			t.Fatalf("the responses are %s", said.InputResponses)
		}
	})
}

func TestSamplingResponse(t *testing.T) {
	for name, tc := range map[string]struct {
		params   string
		wantName string
		want     bool
	}{
		"none":                      {params: `{"name":"t","arguments":{"inputResponses":{"a":{"role":"user","content":[]}}}}`},
		"no params":                 {params: ``},
		"no object":                 {params: `{"inputResponses":[{"role":"assistant","content":{}}]}`},
		"an elicitation":            {params: `{"inputResponses":{"a":{"action":"accept","content":{"role":"admin"}}}}`},
		"roots":                     {params: `{"inputResponses":{"a":{"roots":[]}}}`},
		"one beside an elicitation": {params: `{"inputResponses":{"a":{"action":"accept"},"b":{"role":"assistant","content":{"type":"text","text":"x"},"model":"m"}}}`, wantName: "b", want: true},
		"without a model":           {params: `{"inputResponses":{"b":{"role":"assistant","content":{}}}}`, wantName: "b", want: true},
		"in another case":           {params: `{"InputResponses":{"b":{"Role":"assistant","CONTENT":{}}}}`, wantName: "b", want: true},
		"the first of two":          {params: `{"inputResponses":{"b":{"role":"assistant","content":{}}},"inputResponses":{}}`, wantName: "b", want: true},
		"escaped":                   {params: `{"input\u0052esponses":{"b":{"\u0072ole":"assistant","content":{}}}}`, wantName: "b", want: true},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := SamplingResponse(json.RawMessage(tc.params)); got != tc.wantName || ok != tc.want {
				t.Errorf("%q, %v", got, ok)
			}
		})
	}
}
