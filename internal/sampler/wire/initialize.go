package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// InitializeSampling returns what the params of an initialize request say about
// sampling. What is not readable is not declared.
func InitializeSampling(params json.RawMessage) SamplingCapability {
	capabilities, err := lookup(params, "capabilities")
	if err != nil || capabilities == nil {
		return SamplingCapability{}
	}
	return samplingIn(capabilities)
}

// samplingIn reads a client's capabilities.
func samplingIn(capabilities json.RawMessage) SamplingCapability {
	sampling, err := lookup(capabilities, "sampling")
	if err != nil || !isObject(sampling) {
		return SamplingCapability{}
	}
	tools, err := lookup(sampling, "tools")
	return SamplingCapability{Declared: true, Tools: err == nil && isObject(tools)}
}

// ResultProtocolVersion returns the version in the result of an initialize
// request; empty if there is none.
func ResultProtocolVersion(result json.RawMessage) string {
	raw, err := lookup(result, "protocolVersion")
	if err != nil || raw == nil {
		return ""
	}
	var version string
	if json.Unmarshal(raw, &version) != nil {
		return ""
	}
	return version
}

// DeclareSampling returns the initialize request body with the sampling
// capability want in place of what it declares. No byte outside of that
// capability changes, and the body itself is returned where nothing does.
func DeclareSampling(body []byte, want SamplingCapability) ([]byte, error) {
	return declareAt(body, want, "params", "capabilities")
}

// declareAt declares sampling in the object at path, which is made where it is
// missing.
func declareAt(body []byte, want SamplingCapability, path ...string) ([]byte, error) {
	if !want.Declared {
		want.Tools = false
	}
	// A few rounds, as removing a member can uncover an earlier one of the same
	// name.
	for range maxEdits {
		edited, done, err := declareOnce(body, want, path)
		if err != nil {
			return nil, fmt.Errorf("declaring sampling in %s: %w", strings.Join(path, "."), err)
		}
		if done {
			return body, nil
		}
		body = edited
	}
	return nil, fmt.Errorf("declaring sampling in %s: members repeat too often", strings.Join(path, "."))
}

const maxEdits = 16

// declareOnce makes the first edit that body needs; done is true where it needs
// none.
func declareOnce(body []byte, want SamplingCapability, path []string) (edited []byte, done bool, err error) {
	at := member{valueEnd: len(body)}
	for _, name := range path {
		f, ok, err := find(body, at.valueStart, at.valueEnd, name)
		switch {
		case err != nil:
			return nil, false, err
		case ok && isObject(body[f.valueStart:f.valueEnd]):
			at = f
		case !want.Declared:
			return body, true, nil
		case ok:
			return nil, false, fmt.Errorf("%s is not an object", name)
		default:
			return appendMember(body, at.valueStart, at.valueEnd, `"`+name+`":{}`), false, nil
		}
	}
	empty := "{}"
	if want.Tools {
		empty = `{"tools":{}}`
	}
	return declareIn(body, at, "sampling", empty, want.Declared, func(sampling member) ([]byte, bool, error) {
		return declareIn(body, sampling, "tools", "{}", want.Tools, nil)
	})
}

// declareIn makes the member name of the object parent an object (wanted; empty
// where there was none) or absent, and goes on with next where it is there as it
// should be.
func declareIn(body []byte, parent member, name, empty string, wanted bool,
	next func(member) ([]byte, bool, error),
) ([]byte, bool, error) {
	f, ok, err := find(body, parent.valueStart, parent.valueEnd, name)
	if err != nil {
		return nil, false, err
	}
	there := ok && isObject(body[f.valueStart:f.valueEnd])
	switch {
	case !wanted && !there: // absent, or null and the like
		return body, true, nil
	case !wanted:
		return removeMember(body, parent, f), false, nil
	case !ok:
		return appendMember(body, parent.valueStart, parent.valueEnd, `"`+name+`":`+empty), false, nil
	case !there:
		return splice(body, f.valueStart, f.valueEnd, empty), false, nil
	case next != nil:
		return next(f)
	}
	return body, true, nil
}

// find returns the last member called name of the object at body[start:end],
// with places in body.
func find(body []byte, start, end int, name string) (found member, ok bool, err error) {
	err = eachMember(body[start:end], func(f member) error {
		if string(f.name) == name {
			found, ok = f, true
			found.keyStart += start
			found.valueStart += start
			found.valueEnd += start
		}
		return nil
	})
	return found, ok, err
}

// appendMember puts text in as the last member of the object at
// body[start:end].
func appendMember(body []byte, start, end int, text string) []byte {
	brace := end - 1
	for body[brace] != '}' { // the outermost object may have space after it
		brace--
	}
	last := brace - 1
	for last > start && skipSpace(body, last) != last {
		last--
	}
	if body[last] != '{' {
		text = "," + text
	}
	return splice(body, last+1, last+1, text)
}

// removeMember takes f out of its object together with one comma.
func removeMember(body []byte, parent, f member) []byte {
	from, to := f.keyStart, f.valueEnd
	if next := skipSpace(body, to); body[next] == ',' {
		return splice(body, from, skipSpace(body, next+1), "")
	}
	for i := from - 1; i > parent.valueStart; i-- {
		if body[i] == ',' {
			return splice(body, i, to, "")
		}
		if skipSpace(body, i) == i {
			break
		}
	}
	return splice(body, from, to, "")
}

func splice(body []byte, from, to int, text string) []byte {
	return slices.Concat(body[:from], []byte(text), body[to:])
}

func isObject(value []byte) bool {
	i := skipSpace(value, 0)
	return i < len(value) && value[i] == '{'
}
