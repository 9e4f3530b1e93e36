package policy

import (
	"fmt"
	"strings"

	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/wire"
)

// What a request costs besides its text, in tokens, so that limits can be held
// before its provider has counted.
const (
	// bytesPerToken is what text has on the whole; no text has more tokens than
	// bytes.
	bytesPerToken = 4
	// mostTokens is above every limit, and far from where sums overflow.
	mostTokens = 1 << 41
	// framing is what a message or a tool needs around its text.
	framing = 16
	// Images are paid by size; these are a usual one and a large one.
	likelyImage, mostImage = 1_600, 16_000
	// Audio is paid by length, which its bytes tell only roughly.
	likelyAudioBytes, mostAudioBytes = 1_000, 200
)

// Tokens is an estimate of what a request uses, question and answer: what is to be
// expected, and what is certain to be enough.
type Tokens struct{ Likely, Most int64 }

// Estimate says how many tokens a request uses before its provider has counted.
func Estimate(p *wire.SamplingParams) Tokens {
	var text, frames int
	answer := min(p.MaxTokens, mostTokens)
	t := Tokens{Likely: answer, Most: answer}
	if p.SystemPrompt != nil {
		text += len(*p.SystemPrompt)
	}
	for _, tool := range p.Tools {
		text += len(tool.Name) + len(tool.Description) + len(tool.InputSchema)
		frames++
	}
	for _, m := range p.Messages {
		frames++
		text += t.blocks(m.Content)
	}
	t.Likely = min(t.Likely+int64(text/bytesPerToken+frames*framing), mostTokens)
	t.Most = min(t.Most+int64(text+frames*framing), mostTokens)
	return t
}

// blocks returns how many bytes of text there are, and counts what is not text.
func (t *Tokens) blocks(blocks []wire.Content) (text int) {
	for i := range blocks {
		c := &blocks[i]
		switch c.Type {
		case wire.ContentImage:
			t.image()
		case wire.ContentAudio:
			t.audio(len(c.Data))
		case wire.ContentResource:
			text += len(c.Resource.Text)
			text += t.blob(c.Resource)
		default:
			text += len(c.Text) + len(c.Name) + len(c.URI) + len(c.Input) + len(c.StructuredContent) + t.blocks(c.Content)
		}
	}
	return text
}

// blob counts what an embedded file costs, and returns how many bytes of text it is
// worth.
func (t *Tokens) blob(r *wire.Resource) (text int) {
	family, _, _ := strings.Cut(strings.ToLower(r.MIMEType), "/")
	switch {
	case r.Blob == "":
		return 0
	case family == "image":
		t.image()
		return 0
	case family == "audio", family == "video":
		t.image()
		t.audio(len(r.Blob))
		return 0
	default: // base64 has four characters for three bytes
		return len(r.Blob) / 4 * 3
	}
}

func (t *Tokens) image() {
	t.Likely += likelyImage
	t.Most += mostImage
}

func (t *Tokens) audio(size int) {
	t.Likely += int64(size / likelyAudioBytes)
	t.Most += int64(size / mostAudioBytes)
}

// checkTokens refuses a request that is likely to use more tokens than a limit has
// at all: it would never get its turn.
func (p *Policy) checkTokens(d *Decision) *Refusal {
	l := &p.Limits
	likely := int64(-1)
	for _, limit := range []struct {
		name string
		max  int64
	}{
		{"tokensPerMinute", l.TokensPerMinute}, {"tokensPerDay", l.TokensPerDay},
		{"perSession.tokensPerMinute", l.PerSession.TokensPerMinute}, {"perSession.tokensPerDay", l.PerSession.TokensPerDay},
	} {
		if limit.max == 0 {
			continue
		}
		if likely < 0 {
			likely = Estimate(&d.Params).Likely
		}
		if likely > limit.max {
			return &Refusal{Code: wire.CodeRejected, Reason: LimitTooSmall, Message: TooSmall(limit.name, limit.max, likely)}
		}
	}
	return nil
}

// TooSmall is what a server is told whose request alone is above a limit on tokens.
func TooSmall(limit string, most, likely int64) string {
	return fmt.Sprintf("the sampling policy's limit %s is %d, and the request alone may use %d tokens: ask for a lower maxTokens, or with less text",
		limit, most, likely)
}
