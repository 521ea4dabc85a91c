package main

import (
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/elrar/state-gateway/tools/results"
)

var (
	ink     = color.NRGBA{R: 0x26, G: 0x2b, B: 0x33, A: 0xff}
	faint   = color.NRGBA{R: 0xdd, G: 0xe1, B: 0xe6, A: 0xff}
	colours = []color.Color{color.NRGBA{R: 0x2f, G: 0x6f, B: 0xb0, A: 0xff}, color.NRGBA{R: 0xe0, G: 0x9a, B: 0x3e, A: 0xff}, color.NRGBA{R: 0x5a, G: 0x9a, B: 0x6e, A: 0xff}}
)

func newPlot(title string) *plot.Plot {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	plotter.DefaultFont = plot.DefaultFont
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = 15
	p.Title.Padding = 10
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font.Size = 11
		axis.Label.Padding = 6
		axis.Tick.Label.Font.Size = 11
		axis.Color, axis.Tick.Color = ink, ink
		axis.Label.TextStyle.Color, axis.Tick.Label.Color = ink, ink
	}
	p.Legend.TextStyle.Font.Size = 11
	p.Legend.TextStyle.Color, p.Title.TextStyle.Color = ink, ink
	return p
}

// row is one thing's bars: one of each series, with the text at its end; nil is none.
type row struct {
	name   string
	values []results.Spread
	texts  []string
}

// horizontal is a chart of horizontal bars, the first row on top. Without a legend there is one series.
func horizontal(title, label string, rows []row, legend []string) (picture, error) {
	p := newPlot(title)
	p.X.Label.Text = label
	series := max(1, len(legend))
	const rowHeight = vg.Length(46)
	thick := rowHeight * 0.7 / vg.Length(series)
	step := 0.74 / float64(series)
	slices.Reverse(rows)
	var names []string
	most := 0.0
	for _, r := range rows {
		names = append(names, r.name)
		for i, v := range r.values {
			if v != nil { // with room for the text, whose letters are about 6 wide, in an area of some 630
				most = max(most, v.Max()/(1-float64(12+6*len(r.texts[i]))/630))
			}
		}
	}
	lines := plotter.NewGrid()
	lines.Horizontal.Color, lines.Vertical.Color = nil, faint
	p.Add(lines)
	for s := range series {
		var values plotter.Values
		var at errorPoints
		labels := plotter.XYLabels{}
		offset := step * (float64(series-1)/2 - float64(s))
		for i, r := range rows {
			v := r.values[s]
			if v == nil {
				values = append(values, 0)
				continue
			}
			y := float64(i) + offset
			values = append(values, v.Median())
			at = append(at, spreadAt{v.Median(), y, v.Median() - v.Min(), v.Max() - v.Median()})
			labels.XYs = append(labels.XYs, plotter.XY{X: v.Max(), Y: y})
			labels.Labels = append(labels.Labels, r.texts[s])
		}
		bars, err := plotter.NewBarChart(values, thick)
		if err != nil {
			return picture{}, err
		}
		bars.Horizontal, bars.XMin, bars.Color = true, offset, colours[s%len(colours)]
		bars.LineStyle.Width = 0
		spread, err := plotter.NewXErrorBars(at)
		if err != nil {
			return picture{}, err
		}
		spread.LineStyle.Color, spread.LineStyle.Width, spread.CapWidth = ink, 1, 6
		ends, err := plotter.NewLabels(labels)
		if err != nil {
			return picture{}, err
		}
		for i := range ends.TextStyle {
			ends.TextStyle[i].Font.Size, ends.TextStyle[i].Color = 11, ink
			ends.TextStyle[i].YAlign = text.YCenter
		}
		ends.Offset.X = 6
		p.Add(bars, spread, ends)
		if len(legend) > 0 {
			p.Legend.Add(legend[s], bars)
		}
	}
	p.NominalY(names...)
	p.Y.Tick.Label.YAlign = text.YCenter
	p.Y.Min, p.Y.Max = -0.5, float64(len(rows))-0.5
	p.X.Min, p.X.Max = 0, most*1.02
	p.X.Tick.Marker = plainTicks{}
	p.Legend.ThumbnailWidth = 14
	p.Legend.Padding = 4
	p.Legend.Top, p.Legend.XOffs, p.Legend.YOffs = true, -6, -6
	return picture{p, 760, 115 + rowHeight*vg.Length(len(rows))}, nil
}

// point is a value at a place.
type point struct {
	x     float64
	value results.Spread
}

// logarithmic is a line through points whose places are spread logarithmically.
func logarithmic(title, xLabel, yLabel string, points []point) (picture, error) {
	p := newPlot(title)
	p.X.Label.Text, p.Y.Label.Text = xLabel, yLabel
	var at errorPoints
	var labels plotter.XYLabels
	most := 0.0
	for _, q := range points {
		v := q.value
		at = append(at, spreadAt{q.x, v.Median(), v.Median() - v.Min(), v.Max() - v.Median()})
		labels.XYs = append(labels.XYs, plotter.XY{X: q.x, Y: v.Median()})
		labels.Labels = append(labels.Labels, valueText(v))
		most = max(most, v.Max())
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = faint, nil
	line, dots, err := plotter.NewLinePoints(at)
	if err != nil {
		return picture{}, err
	}
	line.Color, line.Width = colours[0], 2
	dots.Color, dots.Shape, dots.Radius = colours[0], draw.CircleGlyph{}, 4
	spread, err := plotter.NewYErrorBars(at)
	if err != nil {
		return picture{}, err
	}
	spread.LineStyle.Color, spread.LineStyle.Width, spread.CapWidth = ink, 1, 8
	values, err := plotter.NewLabels(labels)
	if err != nil {
		return picture{}, err
	}
	for i := range values.TextStyle {
		values.TextStyle[i].Font.Size, values.TextStyle[i].Color = 11, ink
		values.TextStyle[i].YAlign = text.YTop
	}
	values.Offset = vg.Point{X: 8, Y: -4}
	p.Add(grid, line, spread, dots, values)
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, powersOfTen{}
	p.X.Min, p.X.Max = points[0].x*0.6, points[len(points)-1].x*2
	p.Y.Min, p.Y.Max = 0, most*1.15
	p.Y.Tick.Marker = plainTicks{}
	return picture{p, 640, 360}, nil
}

// spreadAt is a place and how far the values go to both sides of it.
type spreadAt struct{ x, y, low, high float64 }

// errorPoints are what plotter's error bars need of them, in either direction.
type errorPoints []spreadAt

func (e errorPoints) Len() int                         { return len(e) }
func (e errorPoints) XY(i int) (x, y float64)          { return e[i].x, e[i].y }
func (e errorPoints) XError(i int) (low, high float64) { return e[i].low, e[i].high }
func (e errorPoints) YError(i int) (low, high float64) { return e[i].low, e[i].high }

// plainTicks are at round numbers, some six of them, each with a label.
type plainTicks struct{}

func (plainTicks) Ticks(least, most float64) (ticks []plot.Tick) {
	step := math.Pow(10, math.Floor(math.Log10((most-least)/6)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if (most-least)/(step*factor) <= 8 {
			step *= factor
			break
		}
	}
	for i := math.Ceil(least / step); i*step <= most; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: strconv.FormatFloat(i*step, 'g', 4, 64)})
	}
	return ticks
}

// powersOfTen are at 1, 10, 100, …, with commas between thousands.
type powersOfTen struct{}

func (powersOfTen) Ticks(least, most float64) (ticks []plot.Tick) {
	for v := math.Pow(10, math.Ceil(math.Log10(least))); v <= most; v *= 10 {
		label := strconv.FormatFloat(v, 'f', 0, 64)
		for i := len(label) - 3; i > 0; i -= 3 {
			label = label[:i] + "," + label[i:]
		}
		ticks = append(ticks, plot.Tick{Value: v, Label: label})
	}
	return ticks
}
