#!/bin/sh
# Opens the report page of a store in headless Chromium, in Chinese and English, light and dark, at 360, 1024 and 1920 pixels, and
# on paper: nothing sticks out, is cut or overlaps; bars are as long as they say; nobody is in it. Prints TAP.
#   SHOTS=dir   keeps a picture of each
set -eu
cd "$(dirname "$0")/.."
. tools/lib.sh
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
[ -n "$browser" ] || { echo "1..0 # skipped: no Chromium"; exit 0; }
crm_scratch browser
crm_start
n=0
check() { # check NAME STATUS
	n=$((n + 1))
	if [ "$2" = 0 ]; then echo "ok $n - $1"; else echo "not ok $n - $1"; bad=1; fi
}
bad=0
createdb demo
PGDATABASE=demo
export PGDATABASE
psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -c "CREATE EXTENSION crm" -c "SELECT crm.create_store('shop')"
psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -f tools/demo/generate.sql -c "SELECT * FROM shop.import_orders('order_file')" -f test/browser/store.sql
for language in zh en; do
	psql -X -q -At -c "UPDATE shop.settings SET language = '$language'" -c "SELECT shop.report_html('2026-01-01')" >"$work/$language.html"
	psql -X -q -At -c "SELECT name FROM shop.contact UNION SELECT phone FROM shop.contact" | grep -vE '^.?$' >"$work/people"
	if grep -qFf "$work/people" "$work/$language.html"; then s=1; else s=0; fi
	check "$language: nobody of $(wc -l <"$work/people") names and numbers is in it" $s
	{ sed 's|</body></html>||' "$work/$language.html"; printf '<script>'; cat test/browser/measure.js; printf '</script></body></html>\n'; } >"$work/$language.measured.html"
	for width in 360 1024 1920; do
		for theme in light dark; do
			flag=
			[ $theme = light ] || flag="--blink-settings=preferredColorScheme=0"
			# Headless Chromium has a least width of window, so the page is measured in a frame of the width that is meant.
			printf '<!DOCTYPE html><title></title><body style="margin:0"><iframe id="f" style="border:0;width:%spx;height:3000px" src="%s.measured.html"></iframe><script>f.onload=()=>{document.title=f.contentDocument.title}</script>' \
				$width $language >"$work/frame.html"
			result=$(timeout 120 "$browser" --headless=new --no-sandbox --disable-gpu --allow-file-access-from-files --user-data-dir="$work/profile" --virtual-time-budget=5000 \
				$flag --window-size=2000,3000 --dump-dom "file://$work/frame.html" 2>"$work/browser.log" | sed -n 's/.*<title>\(.*\)<\/title>.*/\1/p' | sed 's/&quot;/"/g; s/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g' | head -n 1)
			case $result in
			*'"none":0,'*'"found":[]}') s=0 ;;
			*) s=1 ;;
			esac
			check "$language, $width pixels, $theme: $(echo "$result" | sed -n 's/^{\("charts":[0-9]*\).*/\1/p')" $s
			[ $s = 0 ] || echo "$result" | sed 's/","/"\n# "/g; s/^/# /' | head -n 30
			if [ -n "${SHOTS:-}" ]; then
				mkdir -p "$SHOTS"
				# As long as the page is; less wide, it is longer.
				long=$((width < 800 ? 14000 : 9000))
				sed -i "s/height:3000px/height:${long}px/" "$work/frame.html"
				timeout 120 "$browser" --headless=new --no-sandbox --disable-gpu --allow-file-access-from-files --hide-scrollbars --user-data-dir="$work/profile" $flag --window-size=$((width > 500 ? width : 500)),$long \
					--screenshot="$SHOTS/$language-$width-$theme.png" "file://$work/frame.html" >/dev/null 2>&1 || true
			fi
		done
	done
	timeout 120 "$browser" --headless=new --no-sandbox --disable-gpu --user-data-dir="$work/profile" --print-to-pdf="$work/$language.pdf" "file://$work/$language.html" >/dev/null 2>&1 && s=0 || s=1
	[ "$(wc -c <"$work/$language.pdf")" -gt 20000 ] || s=1
	check "$language: prints" $s
	[ -z "${SHOTS:-}" ] || cp "$work/$language.pdf" "$work/$language.html" "$SHOTS/"
done
echo "1..$n"
exit $bad
