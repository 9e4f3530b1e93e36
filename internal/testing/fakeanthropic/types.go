package fakeanthropic

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	sdk "github.com/anthropics/anthropic-sdk-go"
)

// checkTypes holds a body against the types of the official client: a field that
// they do not have, one that they demand and is not there, and a value of another
// kind are problems.
func checkTypes(body []byte) []string {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return []string{"the body is not JSON: " + err.Error()}
	}
	c := &typeCheck{}
	c.value("", value, reflect.TypeFor[sdk.MessageNewParams]())
	return c.problems
}

type typeCheck struct{ problems []string }

func (c *typeCheck) problem(at, format string, args ...any) {
	c.problems = append(c.problems, strings.TrimPrefix(at, ".")+": "+fmt.Sprintf(format, args...))
}

func (c *typeCheck) value(at string, v any, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if strings.HasPrefix(t.Name(), "Opt[") {
		field, ok := t.FieldByName("Value")
		if !ok {
			c.problem(at, "unknown kind of option %s", t)
			return
		}
		t = field.Type
	}
	switch t.Kind() {
	case reflect.Interface:
	case reflect.Struct:
		if variants := variantsOf(t); variants != nil {
			c.union(at, v, variants)
			return
		}
		c.object(at, v, t)
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			c.problem(at, "must be a list")
			return
		}
		for i, item := range list {
			c.value(fmt.Sprintf("%s.%d", at, i), item, t.Elem())
		}
	case reflect.Map:
		if _, ok := v.(map[string]any); !ok {
			c.problem(at, "must be an object")
		}
	default:
		c.scalar(at, v, t)
	}
}

func (c *typeCheck) scalar(at string, v any, t reflect.Type) {
	ok := false
	switch t.Kind() {
	case reflect.String:
		_, ok = v.(string)
	case reflect.Bool:
		_, ok = v.(bool)
	case reflect.Float64:
		_, ok = v.(float64)
	case reflect.Int64:
		var number float64
		number, ok = v.(float64)
		ok = ok && number == float64(int64(number))
	}
	if !ok {
		c.problem(at, "must be a %s", t.Kind())
	}
}

// variantsOf are the types of a union, nil for what is none.
func variantsOf(t reflect.Type) []reflect.Type {
	var variants []reflect.Type
	for i := range t.NumField() {
		if strings.HasSuffix(t.Field(i).Tag.Get("json"), ",inline") {
			variants = append(variants, t.Field(i).Type)
		}
	}
	return variants
}

// union finds the variant by the type that the object names. A tool of one's own
// names none.
func (c *typeCheck) union(at string, v any, variants []reflect.Type) {
	object, ok := v.(map[string]any)
	if !ok {
		c.problem(at, "must be an object")
		return
	}
	name, _ := object["type"].(string)
	for _, variant := range variants {
		for variant.Kind() == reflect.Pointer {
			variant = variant.Elem()
		}
		field, ok := variant.FieldByName("Type")
		if ok && field.Tag.Get("default") == name {
			c.object(at, v, variant)
			return
		}
	}
	c.problem(at+".type", "%q is not a known type here", name)
}

func (c *typeCheck) object(at string, v any, t reflect.Type) {
	object, ok := v.(map[string]any)
	if !ok {
		c.problem(at, "must be an object")
		return
	}
	known := []string{}
	open := false
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Tag.Get("api") == "extrafields" {
			open = true
		}
		if name == "" || name == "-" {
			continue
		}
		known = append(known, name)
		value, there := object[name]
		constant := field.Tag.Get("default")
		switch {
		case !there && (constant != "" || field.Tag.Get("api") == "required"):
			c.problem(at+"."+name, "is missing")
		case there && constant != "" && value != constant:
			c.problem(at+"."+name, "must be %q", constant)
		case there && constant == "":
			c.value(at+"."+name, value, field.Type)
		}
	}
	for name := range object {
		if !open && !slices.Contains(known, name) {
			c.problem(at+"."+name, "extra inputs are not permitted")
		}
	}
}
