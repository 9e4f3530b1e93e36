package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

const (
	memberRequests  = "inputRequests"
	memberResponses = "inputResponses"
	memberState     = "requestState"

	// inputRequired is the resultType of a result that asks for input.
	inputRequired = "input_required"
)

// Round is a result that asks for input. What it holds shares the memory of the
// result.
type Round struct {
	// Inputs are what is asked for; empty means to try again.
	Inputs []Input
	// State is the JSON of what the retry must repeat; nil where there is none.
	State json.RawMessage

	result json.RawMessage
}

// Input is one thing that a server asks for.
type Input struct {
	// Name is what the server calls it, Key the same as the JSON that it was.
	Name string
	Key  json.RawMessage
	// Method is empty where it cannot be read.
	Method string
	Params json.RawMessage

	value json.RawMessage
}

// InputAnswer is the result for one Input.
type InputAnswer struct {
	Name   string
	Key    json.RawMessage
	Result json.RawMessage
}

// MayAskForInput reports whether a message can hold a result that asks for
// input. It is cheap, and false for nearly all.
func MayAskForInput(message []byte) bool {
	return bytes.Contains(message, []byte(inputRequired))
}

// ReadRound reads a result; it is false for one that does not ask for input.
func ReadRound(result json.RawMessage) (*Round, bool) {
	round := &Round{result: result}
	asks := false
	var requests json.RawMessage
	err := eachMember(result, func(f member) error {
		value := result[f.valueStart:f.valueEnd]
		switch string(f.name) {
		case "resultType":
			kind, ok := text(value)
			asks = ok && kind == inputRequired
		case memberRequests:
			requests = notNull(value)
		case memberState:
			round.State = notNull(value)
		}
		return nil
	})
	if err != nil || !asks || !json.Valid(result) {
		return nil, false
	}
	if requests != nil {
		if round.Inputs, err = readInputs(requests); err != nil {
			return nil, false
		}
	}
	return round, true
}

func readInputs(requests json.RawMessage) ([]Input, error) {
	var inputs []Input
	places := map[string]int{}
	err := eachMember(requests, func(f member) error {
		keyEnd, err := skipString(requests, f.keyStart)
		if err != nil {
			return err
		}
		input := Input{
			Name: string(f.name), Key: requests[f.keyStart:keyEnd],
			value: requests[f.valueStart:f.valueEnd],
		}
		if method, err := lookup(input.value, "method"); err == nil {
			input.Method, _ = text(method)
		}
		if params, err := lookup(input.value, "params"); err == nil {
			input.Params = params
		}
		if i, twice := places[input.Name]; twice { // the last one counts
			inputs[i] = input
			return nil
		}
		places[input.Name] = len(inputs)
		inputs = append(inputs, input)
		return nil
	})
	return inputs, err
}

// With returns the result with these inputs and this state in place of the
// server's.
func (r *Round) With(inputs []Input, state string) (json.RawMessage, error) {
	requests := []byte{'{'}
	for i, input := range inputs {
		if i > 0 {
			requests = append(requests, ',')
		}
		requests = appendPair(requests, input.Key, input.value)
	}
	requests = append(requests, '}')
	quoted, err := json.Marshal(state)
	if err != nil {
		return nil, fmt.Errorf("writing the request state: %w", err)
	}
	return replaceMembers(r.result, pair{memberRequests, requests}, pair{memberState, quoted})
}

// Retry returns a request body with what a retry adds: the answers, and the
// state of the server; nil leaves either out. Its id becomes id, unless that is
// nil.
func Retry(body []byte, id, responses, state json.RawMessage) ([]byte, error) {
	params, err := lookup(body, "params")
	if err != nil {
		return nil, fmt.Errorf("making a retry of the request: %w", err)
	}
	if params == nil {
		params = json.RawMessage("{}")
	}
	params, err = replaceMembers(params, pair{memberResponses, responses}, pair{memberState, state})
	if err != nil {
		return nil, fmt.Errorf("making a retry of the request: params: %w", err)
	}
	replaced := []pair{{"params", params}}
	if id != nil {
		replaced = append(replaced, pair{"id", id})
	}
	body, err = replaceMembers(body, replaced...)
	if err != nil {
		return nil, fmt.Errorf("making a retry of the request: %w", err)
	}
	return body, nil
}

// ErrInputResponses means that a caller's inputResponses are no object.
var ErrInputResponses = errors.New("inputResponses must be an object")

// MergeResponses returns the inputResponses that hold a caller's and ours. For
// what is ours the caller's do not count.
func MergeResponses(caller json.RawMessage, ours []InputAnswer) (json.RawMessage, error) {
	names := make(map[string]bool, len(ours))
	for _, answer := range ours {
		names[answer.Name] = true
	}
	merged := []byte{'{'}
	add := func(key, value json.RawMessage) {
		if len(merged) > 1 {
			merged = append(merged, ',')
		}
		merged = appendPair(merged, key, value)
	}
	if caller != nil {
		err := eachMember(caller, func(f member) error {
			if !names[string(f.name)] {
				keyEnd, err := skipString(caller, f.keyStart)
				if err != nil {
					return err
				}
				add(caller[f.keyStart:keyEnd], caller[f.valueStart:f.valueEnd])
			}
			return nil
		})
		if err != nil {
			return nil, ErrInputResponses
		}
	}
	for _, answer := range ours {
		add(answer.Key, answer.Result)
	}
	return append(merged, '}'), nil
}

// SamplingResponse returns the name under which the params of a request bring
// the result of a sampling request; false where they bring none. It reads as
// loosely as any server does: there are some that take "Role" for "role", or the
// first of two members.
func SamplingResponse(params json.RawMessage) (name string, found bool) {
	_ = eachMember(params, func(f member) error { // what cannot be read is no response
		if !strings.EqualFold(string(f.name), memberResponses) {
			return nil
		}
		responses := params[f.valueStart:f.valueEnd]
		return eachMember(responses, func(f member) error {
			if isSamplingResult(responses[f.valueStart:f.valueEnd]) {
				name, found = string(f.name), true
			}
			return nil
		})
	})
	return name, found
}

// isSamplingResult reports whether a result is one of sampling: those of other
// requests (roots, elicitation) have neither a role nor a content beside it.
func isSamplingResult(result json.RawMessage) bool {
	role, content := false, false
	_ = eachMember(result, func(f member) error {
		role = role || strings.EqualFold(string(f.name), "role")
		content = content || strings.EqualFold(string(f.name), "content")
		return nil
	})
	return role && content
}

// RestoreID returns a message with id as its id. No other byte changes.
func RestoreID(message []byte, id json.RawMessage) ([]byte, error) {
	restored := make([]byte, 0, len(message)+len(id))
	from := 0
	err := eachMember(message, func(f member) error {
		if string(f.name) == "id" { // each one: nobody says which of two is read
			restored = append(append(restored, message[from:f.valueStart]...), id...)
			from = f.valueEnd
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("giving a response the id of its request: %w", err)
	}
	return append(restored, message[from:]...), nil
}

// pair is a member to be written; a nil value leaves it out.
type pair struct {
	name  string
	value json.RawMessage
}

// replaceMembers returns an object with these members in place of those of the
// same name, or at its end. The others keep their bytes and their order.
func replaceMembers(object []byte, with ...pair) (json.RawMessage, error) {
	size := len(object)
	for _, p := range with {
		size += len(p.name) + len(p.value) + len(`"":,`)
	}
	out := append(make([]byte, 0, size), '{')
	add := func(key, value []byte) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = appendPair(out, key, value)
	}
	written := make([]bool, len(with))
	err := eachMember(object, func(f member) error {
		for i, p := range with {
			if string(f.name) != p.name {
				continue
			}
			if p.value != nil && !written[i] {
				written[i] = true
				add([]byte(`"`+p.name+`"`), p.value)
			}
			return nil
		}
		keyEnd, err := skipString(object, f.keyStart)
		if err != nil {
			return err
		}
		add(object[f.keyStart:keyEnd], object[f.valueStart:f.valueEnd])
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, p := range with {
		if p.value != nil && !written[i] {
			add([]byte(`"`+p.name+`"`), p.value)
		}
	}
	return append(out, '}'), nil
}

func appendPair(dst, key, value []byte) []byte {
	dst = append(dst, key...)
	dst = append(dst, ':')
	return append(dst, value...)
}
