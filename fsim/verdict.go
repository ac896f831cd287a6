package fsim

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
)

// A Verdict says for each profile whether a workload and its recovery keep their promises on it.
type Verdict struct {
	Reports []*Report // in the order of [Profiles]
}

// Judge explores the workload under every profile. The options' Profile is not used. Nil options are the zero
// value.
func Judge(workload Workload, recover Recover, o *ExploreOptions) (*Verdict, error) {
	var with ExploreOptions
	if o != nil {
		with = *o
	}
	v := &Verdict{}
	var errs []error
	for _, p := range Profiles() {
		with.Profile = p
		r, err := Explore(workload, recover, &with)
		if err != nil {
			errs = append(errs, fmt.Errorf("judge on %v: %w", p, err))
			continue
		}
		v.Reports = append(v.Reports, r)
	}
	return v, errors.Join(errs...)
}

// Safe says whether no promise was broken on any profile.
func (v *Verdict) Safe() bool {
	for _, r := range v.Reports {
		if r.Failure != nil {
			return false
		}
	}
	return true
}

// String gives the table, one line a profile.
func (v *Verdict) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "profile\tverdict\tinstants\tclasses\tfinding")
	for _, r := range v.Reports {
		verdict, finding := "safe", "exhausted"
		switch {
		case r.Failure != nil:
			verdict, finding = "BROKEN", r.Failure.Err.Error()
		case !r.Exhausted:
			verdict, finding = "no finding", fmt.Sprintf("within %d cells of each extreme", r.Deviations)
		}
		fmt.Fprintf(w, "%v\t%s\t%d\t%d\t%s\n", r.Profile, verdict, r.Instants, r.Classes, finding)
	}
	w.Flush()
	return b.String()
}
