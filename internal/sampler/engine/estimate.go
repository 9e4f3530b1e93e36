package engine

import (
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

// tokens is an estimate of what a request uses, question and answer.
type tokens struct{ likely, most int64 }

func estimate(p *wire.SamplingParams) tokens {
	var text, frames int
	answer := min(p.MaxTokens, mostTokens)
	t := tokens{likely: answer, most: answer}
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
	t.likely = min(t.likely+int64(text/bytesPerToken+frames*framing), mostTokens)
	t.most = min(t.most+int64(text+frames*framing), mostTokens)
	return t
}

// blocks returns how many bytes of text there are, and counts what is not text.
func (t *tokens) blocks(blocks []wire.Content) (text int) {
	for i := range blocks {
		c := &blocks[i]
		switch c.Type {
		case wire.ContentImage:
			t.image()
		case wire.ContentAudio:
			t.audio(len(c.Data))
		case wire.ContentResource:
			text += len(c.Resource.Text)
			if len(c.Resource.Blob) > 0 {
				t.image()
				t.audio(len(c.Resource.Blob))
			}
		default:
			text += len(c.Text) + len(c.Name) + len(c.URI) + len(c.Input) + len(c.StructuredContent) + t.blocks(c.Content)
		}
	}
	return text
}

func (t *tokens) image() {
	t.likely += likelyImage
	t.most += mostImage
}

func (t *tokens) audio(size int) {
	t.likely += int64(size / likelyAudioBytes)
	t.most += int64(size / mostAudioBytes)
}
