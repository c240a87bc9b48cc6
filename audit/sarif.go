package audit

import (
	"encoding/json"
	"io"
	"path/filepath"
)

// SARIF 2.1.0 (OASIS Standard, 2020), as far as verdicts need it.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID    string    `json:"id"`
		Short sarifText `json:"shortDescription"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID       string             `json:"ruleId"`
		RuleIndex    int                `json:"ruleIndex"`
		Kind         string             `json:"kind"`
		Level        string             `json:"level"`
		Message      sarifText          `json:"message"`
		Locations    []sarifLocation    `json:"locations"`
		Suppressions []sarifSuppression `json:"suppressions,omitempty"`
		Fingerprints map[string]string  `json:"partialFingerprints"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations"`
	}
	sarifPhysical struct {
		Artifact struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region *sarifRegion `json:"region,omitempty"`
	}
	sarifRegion struct {
		Line   int `json:"startLine"`
		Column int `json:"startColumn,omitempty"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Justification string `json:"justification"`
	}
)

func (r *Result) sarif(w io.Writer) error {
	run := sarifRun{Tool: sarifTool{sarifDriver{Name: "herald"}}, Results: []sarifResult{}}
	index := map[string]int{}
	for i, k := range r.File.Kinds() {
		index[k.ID] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{k.ID, sarifText{k.About}})
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		s := sarifResult{RuleID: f.ID, RuleIndex: index[f.ID], Level: "none", Message: sarifText{f.Service + ": " + f.line()}}
		switch f.State {
		case Pass:
			s.Kind = "pass"
		case Fail:
			s.Kind, s.Level = "fail", "error"
		case Warn:
			s.Kind, s.Level = "fail", "warning"
		case Unknown:
			s.Kind = "open"
		case NA:
			s.Kind = "notApplicable"
		}
		if f.Waived != "" {
			s.Kind, s.Level = "fail", "error"
			s.Suppressions = []sarifSuppression{{"external", f.Waived}}
		}
		if f.Fix != "" && s.Kind != "pass" {
			s.Message.Text += ". To mend it: " + f.Fix
		}
		var l sarifLocation
		l.Physical.Artifact.URI = filepath.ToSlash(f.File)
		if f.Line > 0 {
			l.Physical.Region = &sarifRegion{f.Line, f.Column}
		}
		l.Logical = []sarifLogical{{f.Service + " " + f.Where}}
		s.Locations = []sarifLocation{l}
		s.Fingerprints = map[string]string{"herald/v1": f.ID + " " + f.Service + " " + f.Where}
		run.Results = append(run.Results, s)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}
