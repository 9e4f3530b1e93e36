package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MarshalJSON writes the fields that the block's type has, and those always:
// an empty text is still a text.
func (c Content) MarshalJSON() ([]byte, error) {
	fields, err := c.fields()
	if err != nil {
		return nil, err
	}
	return marshal(fields)
}

// fields is the block as a struct of the fields that its type has.
func (c Content) fields() (any, error) {
	switch c.Type {
	case ContentText:
		return struct {
			Type string `json:"type"`
			Text string `json:"text"`
		}{c.Type, c.Text}, nil
	case ContentImage, ContentAudio:
		return struct {
			Type     string `json:"type"`
			Data     string `json:"data"`
			MIMEType string `json:"mimeType"`
		}{c.Type, c.Data, c.MIMEType}, nil
	case ContentToolUse:
		return struct {
			Type  string          `json:"type"`
			ID    string          `json:"id"`
			Name  string          `json:"name"`
			Input json.RawMessage `json:"input"`
		}{c.Type, c.ID, c.Name, c.Input}, nil
	case ContentToolResult:
		content := c.Content
		if content == nil {
			content = []Content{}
		}
		return struct {
			Type              string          `json:"type"`
			ToolUseID         string          `json:"toolUseId"`
			Content           []Content       `json:"content"`
			StructuredContent json.RawMessage `json:"structuredContent,omitempty"`
			IsError           bool            `json:"isError,omitempty"`
		}{c.Type, c.ToolUseID, content, c.StructuredContent, c.IsError}, nil
	case ContentResourceLink:
		return struct {
			Type     string `json:"type"`
			URI      string `json:"uri"`
			Name     string `json:"name"`
			MIMEType string `json:"mimeType,omitempty"`
		}{c.Type, c.URI, c.Name, c.MIMEType}, nil
	case ContentResource:
		return struct {
			Type     string    `json:"type"`
			Resource *Resource `json:"resource"`
		}{c.Type, c.Resource}, nil
	default:
		return nil, fmt.Errorf("write a content block: unknown type %q", c.Type)
	}
}

// marshal writes JSON without escaping <, > and &: content is often code.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// contentForm is one block as a bare object, the only form before 2025-11-25, and
// several as a list.
func contentForm(blocks []Content) (any, error) {
	if len(blocks) == 1 {
		return blocks[0].fields()
	}
	if blocks == nil {
		blocks = []Content{}
	}
	return blocks, nil
}

// rawContent is a block as it comes. Pointers tell what is there.
type rawContent struct {
	Type              *string
	Text              *string
	Data              *string
	MIMEType          *string
	ID                *string
	Name              *string
	URI               *string
	Input             json.RawMessage
	ToolUseID         *string
	Content           json.RawMessage
	StructuredContent json.RawMessage
	IsError           *bool
	Resource          *rawResource
}

func (r *rawContent) decode(at string, data json.RawMessage) *Error {
	return decodeFields(at, data,
		field{"type", &r.Type}, field{"text", &r.Text}, field{"data", &r.Data},
		field{"mimeType", &r.MIMEType}, field{"id", &r.ID}, field{"name", &r.Name},
		field{"uri", &r.URI}, field{"input", &r.Input}, field{"toolUseId", &r.ToolUseID},
		field{"content", &r.Content}, field{"structuredContent", &r.StructuredContent},
		field{"isError", &r.IsError}, field{"resource", &r.Resource})
}

type rawResource struct {
	URI      *string `json:"uri"`
	MIMEType *string `json:"mimeType"`
	Text     *string `json:"text"`
	Blob     *string `json:"blob"`
}

// decodeContent reads a bare block or a list of blocks. In a tool result only
// a list is allowed, and no tool blocks. left is how many blocks there may be yet.
func decodeContent(at string, data json.RawMessage, inToolResult bool, left *int) ([]Content, *Error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || bytes.Equal(data, []byte("null")) {
		return nil, invalid(at, "is missing")
	}
	if data[0] == '{' && !inToolResult {
		block, err := decodeBlock(at, data, false, left)
		if err != nil {
			return nil, err
		}
		return []Content{*block}, nil
	}
	if data[0] != '[' {
		if inToolResult {
			return nil, invalid(at, "must be a list of content blocks")
		}
		return nil, invalid(at, "must be a content block or a list of them")
	}
	blocks := []Content{}
	err := eachItem(at, data, maxBlocks, func(i int, item json.RawMessage) *Error {
		block, err := decodeBlock(itemAt(at, i), item, inToolResult, left)
		if err != nil {
			return err
		}
		blocks = append(blocks, *block)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return blocks, nil
}

func decodeBlock(at string, data json.RawMessage, inToolResult bool, left *int) (*Content, *Error) {
	if *left--; *left < 0 {
		return nil, invalid(at, fmt.Sprintf("is one block too many: a request may have at most %d", maxBlocks))
	}
	var raw rawContent
	if err := raw.decode(at, data); err != nil {
		return nil, err
	}
	return raw.block(at, inToolResult, left)
}

// block checks one block against the specification.
func (r *rawContent) block(at string, inToolResult bool, left *int) (*Content, *Error) {
	if r.Type == nil {
		return nil, invalid(at+".type", "is missing")
	}
	c := &Content{Type: *r.Type}
	var err *Error
	switch {
	case c.Type == ContentText:
		c.Text, err = required(at+".text", r.Text)
	case c.Type == ContentImage || c.Type == ContentAudio:
		c.Data, c.MIMEType, err = media(at, r)
	case c.Type == ContentToolUse && !inToolResult:
		err = r.toolUse(at, c)
	case c.Type == ContentToolResult && !inToolResult:
		err = r.toolResult(at, c, left)
	case c.Type == ContentResourceLink && inToolResult:
		if c.URI, err = nonEmpty(at+".uri", r.URI); err == nil {
			c.Name, c.MIMEType = deref(r.Name), deref(r.MIMEType)
		}
	case c.Type == ContentResource && inToolResult:
		err = r.resource(at, c)
	default:
		err = invalid(at+".type", "is not a known type of content here")
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (r *rawContent) toolUse(at string, c *Content) (err *Error) {
	if c.ID, err = bounded(at+".id", r.ID, maxID); err != nil {
		return err
	}
	if c.Name, err = bounded(at+".name", r.Name, maxName); err != nil {
		return err
	}
	if !startsObject(r.Input) {
		return invalid(at+".input", "must be an object")
	}
	c.Input = r.Input
	return nil
}

func (r *rawContent) toolResult(at string, c *Content, left *int) (err *Error) {
	if c.ToolUseID, err = bounded(at+".toolUseId", r.ToolUseID, maxID); err != nil {
		return err
	}
	if c.Content, err = decodeContent(at+".content", r.Content, true, left); err != nil {
		return err
	}
	if !absent(r.StructuredContent) {
		c.StructuredContent = r.StructuredContent
	}
	c.IsError = r.IsError != nil && *r.IsError
	return nil
}

func (r *rawContent) resource(at string, c *Content) *Error {
	at += ".resource"
	if r.Resource == nil {
		return invalid(at, "is missing")
	}
	uri, err := nonEmpty(at+".uri", r.Resource.URI)
	if err != nil {
		return err
	}
	c.Resource = &Resource{
		URI: uri, MIMEType: deref(r.Resource.MIMEType),
		Text: deref(r.Resource.Text), Blob: deref(r.Resource.Blob),
	}
	if r.Resource.Text == nil && r.Resource.Blob == nil {
		return invalid(at, "has neither text nor blob")
	}
	if c.Resource.Blob != "" && !isBase64(c.Resource.Blob) {
		return invalid(at+".blob", "is not valid base64")
	}
	return nil
}

func media(at string, r *rawContent) (data, mimeType string, err *Error) {
	if data, err = nonEmpty(at+".data", r.Data); err != nil {
		return "", "", err
	}
	if mimeType, err = nonEmpty(at+".mimeType", r.MIMEType); err != nil {
		return "", "", err
	}
	if !isBase64(data) {
		return "", "", invalid(at+".data", "is not valid base64")
	}
	return data, mimeType, nil
}

func required(at string, s *string) (string, *Error) {
	if s == nil {
		return "", invalid(at, "is missing")
	}
	return *s, nil
}

func nonEmpty(at string, s *string) (string, *Error) {
	if s == nil || *s == "" {
		return "", invalid(at, "is missing or empty")
	}
	return *s, nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// isBase64 decodes without keeping the result: images are large.
func isBase64(s string) bool {
	_, err := io.Copy(io.Discard, base64.NewDecoder(base64.StdEncoding, strings.NewReader(s)))
	return err == nil
}

func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(raw, []byte("null"))
}

func startsObject(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && raw[0] == '{'
}

// invalid is the error for malformed content. It names the place and never
// quotes what stands there.
func invalid(at, problem string) *Error {
	return &Error{Code: CodeInvalidParams, Message: at + ": " + problem}
}

// wrongJSON turns an error of the JSON decoder into one that names the place.
func wrongJSON(at string, err error) *Error {
	var wrong *json.UnmarshalTypeError
	problem := "is not valid JSON"
	if errors.As(err, &wrong) {
		kind, _, _ := strings.Cut(wrong.Value, " ") // the number itself comes after it
		problem = "must not be a JSON " + kind
		if at != "" && wrong.Field != "" {
			at += "."
		}
		at += wrong.Field
	}
	if at == "" {
		at = "params"
	}
	return invalid(at, problem)
}
