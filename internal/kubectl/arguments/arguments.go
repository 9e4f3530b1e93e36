// Package arguments makes a tool's arguments from what a user wrote on a command
// line, as the tool's inputSchema has them, and says what is wrong with them before
// they are sent.
package arguments

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/kubectl/terminal"
)

// Schema is what is used here of a tool's inputSchema.
type Schema struct {
	Properties           map[string]json.RawMessage `json:"properties"`
	Required             []string                   `json:"required"`
	AdditionalProperties json.RawMessage            `json:"additionalProperties"`
	raw                  json.RawMessage
}

// Property is one argument.
type Property struct {
	Name, Description string
	Types             []string
	Required          bool
}

// property is what is used of an argument's schema.
type property struct {
	Type        json.RawMessage   `json:"type"`
	Description string            `json:"description"`
	Enum        []json.RawMessage `json:"enum"`
	Items       json.RawMessage   `json:"items"`
	AnyOf       []property        `json:"anyOf"`
	OneOf       []property        `json:"oneOf"`
}

// Read reads a tool's inputSchema, as an SDK gives it.
func Read(schema any) (*Schema, error) {
	raw, err := json.Marshal(schema)
	if err != nil {
		return nil, fmt.Errorf("read the tool's inputSchema: %w", err)
	}
	s := &Schema{raw: raw}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("read the tool's inputSchema: %w", err)
	}
	return s, nil
}

// List returns the arguments: those that are required first, each part by name.
func (s *Schema) List() []Property {
	var out []Property
	for name, raw := range s.Properties {
		p := decode(raw)
		out = append(out, Property{Name: name, Description: p.Description, Types: p.types(), Required: slices.Contains(s.Required, name)})
	}
	slices.SortFunc(out, func(a, b Property) int {
		if a.Required != b.Required {
			if a.Required {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// Parse makes arguments of key=value pairs and of input, a JSON object that may be
// empty. A pair replaces what input has by that name; several pairs of one name
// make a list.
func (s *Schema) Parse(pairs []string, input string) (map[string]any, error) {
	out := map[string]any{}
	if input != "" {
		dec := json.NewDecoder(strings.NewReader(input))
		dec.UseNumber()
		if err := dec.Decode(&out); err != nil || out == nil || dec.More() {
			return nil, errors.New(`--input is no JSON object: write the arguments as {"name": "value"}`)
		}
	}
	lists := map[string][]any{}
	for _, pair := range pairs {
		name, text, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return nil, fmt.Errorf("%q is no argument: write name=value, or the whole as --input '{\"name\": \"value\"}'", pair)
		}
		raw, known := s.Properties[name]
		if !known && !s.open() {
			return nil, s.unknown(name)
		}
		p := decode(raw)
		if items, is := p.list(text); is {
			v, err := items.value(name, text)
			if err != nil {
				return nil, err
			}
			lists[name] = append(lists[name], v)
			out[name] = lists[name]
			continue
		}
		if _, twice := lists[name]; twice {
			return nil, fmt.Errorf("%s is written twice, once as a list: write it once", name)
		}
		v, err := p.value(name, text)
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	return out, s.check(out)
}

// open reports whether arguments of other names are meant to be taken. Without a
// word in the schema they may be, but a misspelt one is likelier.
func (s *Schema) open() bool {
	if len(s.Properties) == 0 && s.AdditionalProperties == nil {
		return true
	}
	return s.AdditionalProperties != nil && string(s.AdditionalProperties) != "false"
}

func (s *Schema) unknown(name string) error {
	if len(s.Properties) == 0 {
		return fmt.Errorf("the tool has no argument %q: it takes none", name)
	}
	var names []string
	for _, p := range s.List() {
		names = append(names, terminal.Line(p.Name))
	}
	return fmt.Errorf("the tool has no argument %q: it has %s", name, strings.Join(names, ", "))
}

// check holds arguments against the whole schema.
func (s *Schema) check(values map[string]any) error {
	for _, name := range s.Required {
		if _, given := values[name]; !given {
			return fmt.Errorf("the tool needs %s: add %s=…", s.describe(name), terminal.Line(name))
		}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(s.raw))
	if err != nil {
		return nil //nolint:nilerr // a schema that cannot be used says nothing; the server decides
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(nobody{})
	const name = "inputSchema.json"
	if err := compiler.AddResource(name, doc); err != nil {
		return nil //nolint:nilerr // as above
	}
	schema, err := compiler.Compile(name)
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	data, err := json.Marshal(values)
	if err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	var invalid *jsonschema.ValidationError
	if errors.As(schema.Validate(instance), &invalid) {
		return fmt.Errorf("the arguments do not fit the tool: %s", terminal.Line(leaf(invalid)))
	}
	return nil
}

// describe is an argument with its type and what it is for.
func (s *Schema) describe(name string) string {
	p := decode(s.Properties[name])
	text := terminal.Line(name)
	if types := p.types(); len(types) > 0 {
		text += " (" + terminal.Line(strings.Join(types, " or ")) + ")"
	}
	return text
}

// nobody loads no schemas from elsewhere: a server must not make the plugin fetch
// or read what it names.
type nobody struct{}

// Load implements [jsonschema.URLLoader].
func (nobody) Load(url string) (any, error) { return nil, fmt.Errorf("%s is not loaded", url) }

// leaf is the first of what is wrong at the bottom.
func leaf(err *jsonschema.ValidationError) string {
	for len(err.Causes) > 0 {
		err = err.Causes[0]
	}
	text := err.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	if len(err.InstanceLocation) > 0 {
		text = strings.Join(err.InstanceLocation, ".") + ": " + text
	}
	return text
}

func decode(raw json.RawMessage) property {
	var p property
	_ = json.Unmarshal(raw, &p) // what is no schema has no type
	return p
}

// types are the names of the types that a value may have.
func (p *property) types() []string {
	var out []string
	var one string
	var several []string
	switch {
	case json.Unmarshal(p.Type, &one) == nil && one != "":
		out = []string{one}
	case json.Unmarshal(p.Type, &several) == nil:
		out = several
	}
	for _, list := range [][]property{p.AnyOf, p.OneOf} {
		for i := range list {
			for _, t := range list[i].types() {
				if !slices.Contains(out, t) {
					out = append(out, t)
				}
			}
		}
	}
	return out
}

// list reports whether text is one item of a list, and what an item is.
func (p *property) list(text string) (item property, is bool) {
	types := p.types()
	if !slices.Contains(types, "array") || slices.Contains(types, "string") || strings.HasPrefix(strings.TrimSpace(text), "[") {
		return property{}, false
	}
	if p.Items == nil {
		for _, of := range append(slices.Clone(p.AnyOf), p.OneOf...) {
			if of.Items != nil {
				return decode(of.Items), true
			}
		}
	}
	return decode(p.Items), true
}

// value reads text as the first of its types that it can be. Text that may be a
// string is one, unless it is to be something else first.
func (p *property) value(name, text string) (any, error) {
	types := p.types()
	if len(types) == 0 {
		return text, nil
	}
	for _, t := range []string{"null", "boolean", "integer", "number", "object", "array", "string"} {
		if !slices.Contains(types, t) {
			continue
		}
		if v, ok := as(t, text); ok {
			return v, nil
		}
	}
	return nil, fmt.Errorf("%s is %q: the tool wants %s", name, text, wanted(types))
}

func as(kind, text string) (any, bool) {
	switch kind {
	case "null":
		return nil, text == "null"
	case "boolean":
		return text == "true", text == "true" || text == "false"
	case "integer":
		_, err := strconv.ParseInt(text, 10, 64)
		return json.Number(text), err == nil
	case "number":
		return json.Number(text), json.Valid([]byte(text)) && strings.Trim(text, "+-.0123456789eE") == ""
	case "object":
		var v map[string]any
		err := json.Unmarshal([]byte(text), &v)
		return v, err == nil && v != nil
	case "array":
		var v []any
		err := json.Unmarshal([]byte(text), &v)
		return v, err == nil && v != nil
	default:
		return text, true
	}
}

func wanted(types []string) string {
	words := map[string]string{
		"boolean": "true or false", "integer": "a whole number", "number": "a number", "null": "null",
		"object": `a JSON object such as {"name": "value"}`, "array": `a JSON list such as ["a", "b"]`,
	}
	var out []string
	for _, t := range types {
		if w := words[t]; w != "" {
			out = append(out, w)
		} else {
			out = append(out, terminal.Line(t))
		}
	}
	return strings.Join(out, " or ")
}
