package main

import (
	"fmt"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// outlined is an SVG canvas that draws text as shapes: a viewer need not have the font, and nothing runs into anything
// else because of another one.
type outlined struct {
	*vgsvg.Canvas
	err error // of the last text that could not be drawn
}

// FillString draws text with its baseline beginning at a point.
func (c *outlined) FillString(face font.Face, at vg.Point, text string) {
	if err := c.fillString(face, at, text); err != nil {
		c.err = fmt.Errorf("text %q: %w", text, err)
	}
}

func (c *outlined) fillString(face font.Face, at vg.Point, text string) error {
	var buffer sfnt.Buffer
	em := fixed.Int26_6(face.Face.UnitsPerEm()) // one unit of what is loaded is one of the font's
	scale := face.Font.Size / vg.Length(em)     // from those to lengths
	point := func(p fixed.Point26_6) vg.Point { // in a font y grows downwards
		return vg.Point{X: at.X + scale*vg.Length(p.X), Y: at.Y - scale*vg.Length(p.Y)}
	}
	var path vg.Path
	var previous sfnt.GlyphIndex
	for _, r := range text {
		glyph, err := face.Face.GlyphIndex(&buffer, r)
		if err != nil {
			return err
		}
		if glyph == 0 {
			return fmt.Errorf("the font has no %q", r)
		}
		if previous != 0 {
			if kern, err := face.Face.Kern(&buffer, previous, glyph, em, 0); err == nil {
				at.X += scale * vg.Length(kern)
			}
		}
		segments, err := face.Face.LoadGlyph(&buffer, glyph, em, nil)
		if err != nil {
			return err
		}
		for i, s := range segments {
			switch s.Op {
			case sfnt.SegmentOpMoveTo:
				if i > 0 {
					path.Close()
				}
				path.Move(point(s.Args[0]))
			case sfnt.SegmentOpLineTo:
				path.Line(point(s.Args[0]))
			case sfnt.SegmentOpQuadTo:
				path.QuadTo(point(s.Args[0]), point(s.Args[1]))
			case sfnt.SegmentOpCubeTo:
				path.CubeTo(point(s.Args[0]), point(s.Args[1]), point(s.Args[2]))
			}
		}
		if len(segments) > 0 {
			path.Close()
		}
		advance, err := face.Face.GlyphAdvance(&buffer, glyph, em, 0)
		if err != nil {
			return err
		}
		at.X += scale * vg.Length(advance)
		previous = glyph
	}
	if len(path) > 0 {
		c.Fill(path)
	}
	return nil
}
