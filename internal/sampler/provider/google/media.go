package google

import (
	"mime"
	"slices"
	"strings"
)

// mediaTypes are what the API documents to take inline; anything else it would
// refuse with words that a server cannot use.
var mediaTypes = []string{
	"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif", "image/gif", "image/bmp", "image/tiff",
	"audio/wav", "audio/mp3", "audio/mpeg", "audio/aiff", "audio/aac", "audio/ogg", "audio/opus", "audio/flac", "audio/m4a", "audio/webm",
	"video/mp4", "video/mpeg", "video/mpg", "video/mov", "video/avi", "video/x-flv", "video/webm", "video/wmv", "video/3gpp",
	"application/pdf", "text/plain",
}

// mediaAliases are other names of the same.
var mediaAliases = map[string]string{
	"image/jpg":   "image/jpeg",
	"audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "audio/vnd.wave": "audio/wav",
	"audio/x-aiff": "audio/aiff", "audio/x-aac": "audio/aac", "audio/x-flac": "audio/flac",
	"audio/mp4": "audio/m4a", "audio/x-m4a": "audio/m4a",
	"video/quicktime": "video/mov", "video/x-msvideo": "video/avi", "video/x-ms-wmv": "video/wmv",
}

// functionTypes are what a function may answer with beside its object.
var functionTypes = []string{"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"}

// mediaType is the API's name for a MIME type; empty where it takes none such.
func mediaType(mimeType string) string {
	bare, _, err := mime.ParseMediaType(mimeType)
	if err != nil {
		bare = strings.ToLower(strings.TrimSpace(mimeType))
	}
	if alias, ok := mediaAliases[bare]; ok {
		bare = alias
	}
	if !slices.Contains(mediaTypes, bare) {
		return ""
	}
	return bare
}

// knownTypes lists the types that begin with kind, for people.
func knownTypes(kind string) string {
	var known []string
	for _, t := range mediaTypes {
		if strings.HasPrefix(t, kind) {
			known = append(known, t)
		}
	}
	return strings.Join(known, ", ")
}
