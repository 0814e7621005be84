// The screen and the window: what the page can know of them, and what a campaign requires of them.

import { gettext, interpolate } from "./words.js";

const GAMUTS = ["srgb", "p3", "rec2020"]; // each within the next
const ZOOM_STEPS = [
  0.25, 0.33, 0.5, 0.67, 0.75, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5,
]; // Chromium's
const PHONE_PX = 600; // the shorter side of the largest phones is below, of tablets above

const matches = (query) => window.matchMedia(query).matches;

export const isPhone = () =>
  matches("(pointer: coarse)") && Math.min(window.screen.width, window.screen.height) < PHONE_PX;

/** 0: unknown, 1: sRGB, 2: P3, 3: Rec. 2020. */
const gamut = () => 1 + GAMUTS.findLastIndex((name) => matches(`(color-gamut: ${name})`));

/**
 * The page's zoom, 1 for 100 %; 0: unknown. Only Chromium on a computer gives it away: its windows
 * keep their outer width while the inner one is counted in zoomed pixels. A bar docked beside the
 * page does the same, so a zoom is believed only if what is left of the pixel ratio is a screen's.
 */
function pageZoom() {
  if (!("chrome" in window) || matches("(pointer: coarse)")) return 0;
  const measured = window.outerWidth / window.innerWidth;
  const isScreens = (scale) => scale > 0.98 && Math.abs(scale * 4 - Math.round(scale * 4)) < 0.1;
  const likely = ZOOM_STEPS.filter(
    (step) => Math.abs(measured / step - 1) < 0.05 && isScreens(window.devicePixelRatio / step),
  );
  const distance = (step) => Math.abs(measured / step - 1);
  return likely.sort((a, b) => distance(a) - distance(b))[0] ?? 0;
}

/** As numbers, to be stored with an answer; docs/judgments.md describes each. */
export function conditions() {
  return {
    device_pixel_ratio: window.devicePixelRatio,
    viewport_width: window.innerWidth,
    viewport_height: window.innerHeight,
    screen_width: window.screen.width,
    screen_height: window.screen.height,
    page_zoom: pageZoom(),
    pinch_zoom: window.visualViewport?.scale ?? 0,
    gamut: gamut(),
    high_dynamic_range: Number(matches("(dynamic-range: high)")),
    high_contrast: Number(matches("(prefers-contrast: more)") || matches("(forced-colors: active)")),
  };
}

/** What is required and not so: for each, what to change. */
export function unmetBy(requirements) {
  const now = conditions();
  const zoom = Math.round(now.page_zoom * 100);
  const wide = (text, least, is) => is < least && interpolate(text, { least, is });
  return [
    wide(
      gettext("Make this window at least %(least)s pixels wide; it is %(is)s now."),
      requirements.window_width,
      now.viewport_width,
    ),
    wide(
      gettext("Make this window at least %(least)s pixels high; it is %(is)s now."),
      requirements.window_height,
      now.viewport_height,
    ),
    wide(
      gettext("Use a screen that is at least %(least)s pixels wide; this one is %(is)s wide."),
      requirements.screen_width,
      now.screen_width,
    ),
    wide(
      gettext("Use a screen that is at least %(least)s pixels high; this one is %(is)s high."),
      requirements.screen_height,
      now.screen_height,
    ),
    now.gamut < 1 + GAMUTS.indexOf(requirements.gamut) &&
      interpolate(gettext("Use a screen that shows all colours of %(name)s; this one shows fewer."), {
        name: { srgb: "sRGB", p3: "Display P3", rec2020: "Rec. 2020" }[requirements.gamut],
      }),
    requirements.most_zoom > 0 &&
      zoom > requirements.most_zoom &&
      interpolate(
        gettext("Set this page's zoom to %(most)s or less, with Ctrl and −; it is %(is)s now."),
        { most: `${requirements.most_zoom} %`, is: `${zoom} %` },
      ),
  ].filter(Boolean);
}

/** Calls back whenever something of it may have changed. */
export function watchConditions(onChange) {
  window.addEventListener("resize", onChange);
  const queries = [...GAMUTS.map((name) => `(color-gamut: ${name})`), "(pointer: coarse)"];
  for (const query of queries) window.matchMedia(query).addEventListener("change", onChange);
  const watchRatio = () => {
    // A window that is moved to a screen of another scale need not be resized.
    const query = window.matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    query.addEventListener("change", () => (onChange(), watchRatio()), { once: true });
  };
  watchRatio();
}
