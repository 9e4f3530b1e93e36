// Package sbom writes down what a program or an image is made of, as SPDX 2.3.
package sbom

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/google/licensecheck"
	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/release/internal/program"
)

const (
	project     = "github.com/mcp-sampling/mcp-sampling-operator"
	licence     = "Apache-2.0"
	noAssertion = "NOASSERTION"
)

// Subject is what a document is about.
type Subject struct {
	Name    string // of the file or the image
	Version string
	// SHA256 is the hexadecimal checksum of the file, or the image's digest.
	SHA256 string
	// Image is the repository of an image, empty for a program.
	Image   string
	Created time.Time
}

// Document describes a subject and the modules in it. The same subject makes the
// same document.
func Document(subject Subject, modules []program.Module) ([]byte, error) {
	root := &spdx.Package{
		PackageName:             subject.Name,
		PackageSPDXIdentifier:   "Package-subject",
		PackageVersion:          subject.Version,
		PackageSupplier:         &common.Supplier{SupplierType: "Organization", Supplier: "mcp-sampling"},
		PackageDownloadLocation: "https://" + project + "/releases/tag/" + subject.Version,
		PackageChecksums:        []common.Checksum{{Algorithm: common.SHA256, Value: subject.SHA256}},
		PackageLicenseConcluded: licence,
		PackageLicenseDeclared:  licence,
		PackageCopyrightText:    noAssertion,
		PrimaryPackagePurpose:   "APPLICATION",
	}
	reference := purl("golang", project, subject.Version)
	if subject.Image != "" {
		root.PrimaryPackagePurpose = "CONTAINER"
		name := subject.Image[strings.LastIndex(subject.Image, "/")+1:]
		reference = fmt.Sprintf("pkg:oci/%s@%s?repository_url=%s&tag=%s", name, url.PathEscape("sha256:"+subject.SHA256), url.QueryEscape(subject.Image), subject.Version)
	}
	root.PackageExternalReferences = references(reference)
	doc := &spdx.Document{
		SPDXVersion:       spdx.Version,
		DataLicense:       spdx.DataLicense,
		SPDXIdentifier:    "DOCUMENT",
		DocumentName:      subject.Name,
		DocumentNamespace: fmt.Sprintf("https://%s/spdx/%s-%s", project, subject.Name, subject.SHA256),
		CreationInfo: &spdx.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Organization", Creator: "mcp-sampling"}, {CreatorType: "Tool", Creator: "mcp-sampling-operator-release"}},
			Created:  subject.Created.UTC().Format(time.RFC3339),
		},
		Packages:      []*spdx.Package{root},
		Relationships: []*spdx.Relationship{relate("DOCUMENT", "DESCRIBES", "Package-subject")},
	}
	for _, module := range modules {
		p := describe(module)
		doc.Packages = append(doc.Packages, p)
		doc.Relationships = append(doc.Relationships, relate("Package-subject", "DEPENDS_ON", p.PackageSPDXIdentifier))
	}
	var out bytes.Buffer
	if err := json.Write(doc, &out, json.Indent(" ")); err != nil {
		return nil, fmt.Errorf("write the bill of materials of %s: %w", subject.Name, err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func describe(m program.Module) *spdx.Package {
	declared := licenceOf(m.Texts)
	return &spdx.Package{
		PackageName:               m.Path,
		PackageSPDXIdentifier:     identifier(m.Path + "-" + m.Version),
		PackageVersion:            m.Version,
		PackageDownloadLocation:   noAssertion, // the purl says where from, by each one's own way
		PackageLicenseConcluded:   noAssertion,
		PackageLicenseDeclared:    declared,
		PackageCopyrightText:      noAssertion,
		PackageExternalReferences: references(purl("golang", m.Path, m.Version)),
		PrimaryPackagePurpose:     "LIBRARY",
	}
}

// sure is how much of a text a licence must cover to be named, in percent.
const sure = 75

// licenceOf names the licences that are in the texts, or says that nothing can be
// said: a wrong name is worse than none.
func licenceOf(texts []program.Text) string {
	var names []string
	seen := map[string]bool{}
	for _, text := range texts {
		if strings.HasPrefix(strings.ToUpper(text.Name), "NOTICE") || strings.HasPrefix(strings.ToUpper(text.Name), "PATENTS") {
			continue
		}
		coverage := licensecheck.Scan(text.Content)
		if coverage.Percent < sure {
			return noAssertion
		}
		for _, match := range coverage.Match {
			if match.IsURL || seen[match.ID] {
				continue
			}
			seen[match.ID] = true
			names = append(names, match.ID)
		}
	}
	if len(names) == 0 {
		return noAssertion
	}
	return strings.Join(names, " AND ")
}

func relate(from common.ElementID, how string, to common.ElementID) *spdx.Relationship {
	return &spdx.Relationship{RefA: common.MakeDocElementID("", string(from)), RefB: common.MakeDocElementID("", string(to)), Relationship: how}
}

func references(purl string) []*spdx.PackageExternalReference {
	return []*spdx.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: purl}}
}

// purl names a package as scanners do.
func purl(kind, path, version string) string {
	return "pkg:" + kind + "/" + strings.ToLower(path) + "@" + url.PathEscape(version)
}

var notInIdentifiers = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

func identifier(s string) common.ElementID {
	return common.ElementID("Package-" + notInIdentifiers.ReplaceAllString(s, "-"))
}
