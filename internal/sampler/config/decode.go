package config

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// MaxBytes is the length of the longest file that is read. A ConfigMap cannot
// hold more.
const MaxBytes = 1 << 20

// Decode reads one configuration from YAML or JSON, fills in the defaults and
// validates it. It is strict: a key that it does not know, one that is there
// twice, or one with the wrong type is an error that says where.
func Decode(data []byte) (*Effective, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("the configuration has %d bytes: at most %d are read", len(data), MaxBytes)
	}
	if hasSecondDocument(data) {
		return nil, errors.New("the configuration holds more than one YAML document: write one file for each sampler")
	}
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, fmt.Errorf("read the configuration as YAML: %w", err)
	}
	var tree any
	dec := json.NewDecoder(bytes.NewReader(asJSON))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if tree == nil {
		return nil, errors.New("the configuration is empty")
	}
	if err := errors.Join(checkShape("", tree, reflect.TypeFor[Effective]())...); err != nil {
		return nil, err
	}
	var e Effective
	if err := json.Unmarshal(asJSON, &e); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	e = e.WithDefaults()
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return &e, nil
}

// hasSecondDocument reports whether a document marker follows content. The YAML
// library would drop what comes after it without a word.
func hasSecondDocument(data []byte) bool {
	content := false
	for line := range bytes.Lines(data) {
		line = bytes.TrimRight(line, " \t\r\n")
		switch {
		case bytes.Equal(line, []byte("---")) || bytes.HasPrefix(line, []byte("--- ")):
			if content {
				return true
			}
			content = len(line) > len("---")
		case len(line) > 0 && line[0] != '#' && line[0] != '%' && !bytes.Equal(line, []byte("...")):
			content = true
		}
	}
	return false
}

// checkShape compares decoded JSON with the Go type that it is meant for. The
// standard decoder would take keys in any case, drop unknown ones and report
// wrong types without the index in a list.
func checkShape(path string, v any, t reflect.Type) []error {
	if v == nil {
		return nil // as if it were left out
	}
	if t.Kind() == reflect.Pointer {
		return checkShape(path, v, t.Elem())
	}
	if t == extraBodyType {
		if _, ok := v.(map[string]any); !ok {
			return []error{wrongType(path, v, "a mapping")}
		}
		return nil // whatever is in it
	}
	if u, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler); ok {
		s, ok := v.(string)
		if !ok {
			return []error{wrongType(path, v, "a text like \"60s\"")}
		}
		if err := u.UnmarshalText([]byte(s)); err != nil {
			return []error{fmt.Errorf("%s: %w", path, err)}
		}
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		m, ok := v.(map[string]any)
		if !ok {
			return []error{wrongType(path, v, "a mapping")}
		}
		return checkKeys(path, m, t)
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			return []error{wrongType(path, v, "a list")}
		}
		var errs []error
		for i, item := range list {
			errs = append(errs, checkShape(fmt.Sprintf("%s[%d]", path, i), item, t.Elem())...)
		}
		return errs
	case reflect.String:
		if _, ok := v.(string); !ok {
			return []error{wrongType(path, v, "a text (put it in quotes)")}
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			return []error{wrongType(path, v, "true or false")}
		}
	case reflect.Int, reflect.Int64:
		n, ok := v.(json.Number)
		if !ok {
			return []error{wrongType(path, v, "a whole number")}
		}
		if _, err := strconv.ParseInt(n.String(), 10, t.Bits()); err != nil {
			return []error{fmt.Errorf("%s: %s is not a whole number in range", path, n)}
		}
	case reflect.Float64:
		if _, ok := v.(json.Number); !ok {
			return []error{wrongType(path, v, "a number")}
		}
	default:
		panic("config: no rule for fields of type " + t.String())
	}
	return nil
}

func checkKeys(path string, m map[string]any, t reflect.Type) []error {
	fields := make(map[string]reflect.Type, t.NumField())
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields[name] = field.Type
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(m)) {
		at := key
		if path != "" {
			at = path + "." + key
		}
		ft, known := fields[key]
		if !known {
			errs = append(errs, fmt.Errorf("%s: unknown key; known here: %s",
				at, strings.Join(slices.Sorted(maps.Keys(fields)), ", ")))
			continue
		}
		errs = append(errs, checkShape(at, m[key], ft)...)
	}
	return errs
}

func wrongType(path string, v any, want string) error {
	if path == "" {
		path = "the configuration"
	}
	got := "a mapping"
	switch v.(type) {
	case string:
		got = "a text"
	case json.Number:
		got = "a number"
	case bool:
		got = "a truth value"
	case []any:
		got = "a list"
	}
	return fmt.Errorf("%s: is %s, must be %s", path, got, want)
}
