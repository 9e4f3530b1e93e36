package google_test

import (
	"os"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const apiPackage = "google.ai.generativelanguage.v1beta."

// published reads the messages that Google publishes, see testdata/README.md.
var published = sync.OnceValues(func() (*protoregistry.Files, error) {
	data, err := os.ReadFile("testdata/generate_content.binpb")
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(data, set); err != nil {
		return nil, err
	}
	return protodesc.NewFiles(set)
})

// decodePublished reads JSON as the API does, by its published messages: a field
// that it does not know is an error. There are no exceptions.
func decodePublished(t *testing.T, message protoreflect.FullName, text []byte) (*dynamicpb.Message, error) {
	t.Helper()
	files, err := published()
	if err != nil {
		t.Fatal(err)
	}
	descriptor, err := files.FindDescriptorByName(apiPackage + message)
	if err != nil {
		t.Fatal(err)
	}
	m := dynamicpb.NewMessage(descriptor.(protoreflect.MessageDescriptor))
	return m, protojson.UnmarshalOptions{Resolver: dynamicpb.NewTypes(files)}.Unmarshal(text, m)
}

func TestThePublishedMessagesRefuseWhatTheyDoNotKnow(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"an unknown field":           {`{"contents":[],"n":1}`, `unknown field "n"`},
		"an unknown field of a part": {`{"contents":[{"parts":[{"texts":"x"}]}]}`, `unknown field "texts"`},
		"two kinds of data":          {`{"contents":[{"parts":[{"text":"x","inlineData":{}}]}]}`, "oneof"},
		"a field said twice":         {`{"generationConfig":{"maxOutputTokens":1,"max_output_tokens":2}}`, "duplicate field"},
		"an unknown mode":            {`{"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}}`, "SOME"},
		"data that is no base64":     {`{"contents":[{"parts":[{"inlineData":{"data":"?"}}]}]}`, "invalid value for bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := decodePublished(t, "GenerateContentRequest", []byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one that says %q", err, tc.want)
			}
		})
	}
}
