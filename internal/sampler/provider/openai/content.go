package openai

import (
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/provider"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// Types of the parts of a user message.
const (
	partText  = "text"
	partImage = "image_url"
	partAudio = "input_audio"
)

// imageTypes and audioFormats are what the API documents; anything else it
// would refuse with words that a server cannot use.
var (
	imageTypes = map[string]bool{
		"image/jpeg": true, "image/png": true, "image/gif": true, "image/webp": true,
	}
	audioFormats = map[string]string{
		"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/vnd.wave": "wav",
		"audio/mpeg": "mp3", "audio/mp3": "mp3",
	}
)

// userMessage writes text alone as a string, which every compatible server
// understands, and a list of parts only where it has to. An empty text beside
// others is left out: it says nothing, and some servers refuse it.
func userMessage(parts []contentPart) message {
	if len(parts) == 1 && parts[0].Type == partText {
		return message{Role: roleUser, Content: parts[0].Text}
	}
	var (
		texts []string
		list  []contentPart
		mixed bool
	)
	for _, p := range parts {
		if p.Type == partText {
			texts = append(texts, p.Text)
		} else {
			mixed = true
		}
		if p.Type != partText || p.Text != "" {
			list = append(list, p)
		}
	}
	if mixed {
		return message{Role: roleUser, Content: list}
	}
	return message{Role: roleUser, Content: strings.Join(texts, "\n")}
}

func userParts(blocks []wire.Content) ([]contentPart, error) {
	parts := make([]contentPart, 0, len(blocks))
	for i := range blocks {
		p, err := userPart(&blocks[i])
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func userPart(b *wire.Content) (contentPart, error) {
	switch b.Type {
	case wire.ContentText:
		return contentPart{Type: partText, Text: b.Text}, nil
	case wire.ContentImage:
		return imagePart(b.MIMEType, b.Data)
	case wire.ContentAudio:
		return audioPart(b.MIMEType, b.Data)
	case wire.ContentResourceLink:
		return contentPart{Type: partText, Text: strings.TrimSpace(b.Name + " " + b.URI)}, nil
	case wire.ContentResource:
		return resourcePart(b.Resource)
	default:
		return contentPart{}, unsupported(b.Type)
	}
}

func resourcePart(r *wire.Resource) (contentPart, error) {
	if r.Blob == "" {
		return contentPart{Type: partText, Text: r.Text}, nil
	}
	if strings.HasPrefix(strings.ToLower(r.MIMEType), "audio/") {
		return audioPart(r.MIMEType, r.Blob)
	}
	return imagePart(r.MIMEType, r.Blob)
}

func imagePart(mimeType, data string) (contentPart, error) {
	mimeType = strings.ToLower(strings.TrimSpace(mimeType))
	if !imageTypes[mimeType] {
		return contentPart{}, &provider.UnsupportedError{What: "the model provider takes images of type image/jpeg, image/png, image/gif and image/webp only"}
	}
	return contentPart{Type: partImage, ImageURL: &imageURL{URL: "data:" + mimeType + ";base64," + data}}, nil
}

func audioPart(mimeType, data string) (contentPart, error) {
	format, ok := audioFormats[strings.ToLower(strings.TrimSpace(mimeType))]
	if !ok {
		return contentPart{}, &provider.UnsupportedError{What: "the model provider takes audio of type audio/wav and audio/mpeg only"}
	}
	return contentPart{Type: partAudio, InputAudio: &inputAudio{Data: data, Format: format}}, nil
}
