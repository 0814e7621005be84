"""The registry's pages: codecs, source images with what codecs make of them, rate-distortion."""

from pathlib import PurePath

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from codecs_registry import catalogue, codec_costs
from codecs_registry import rate_distortion as rd
from codecs_registry.codecs import all_codecs
from codecs_registry.model_cards import card_of
from codecs_registry.models import Collection, Reconstruction, SourceImage
from codecs_registry.responses import csv_lines, download, immutable, stored_file

IMAGES_A_PAGE = 60
ANCHOR = "jpeg"  # what others are compared with, unless somebody chooses
QUALITIES: dict[rd.Quality, str] = {"psnr": "PSNR", "ms_ssim": "MS-SSIM"}
READY = Reconstruction.State.READY


@login_required
@never_cache
@require_GET
def codecs(request: HttpRequest) -> HttpResponse:
    """Every codec: its version, its knob, what it made; or how to get it."""
    return render(request, "codecs_registry/codecs.html", {"codecs": catalogue.codec_entries()})


@login_required
@never_cache
@require_GET
def codec(request: HttpRequest, codec: str) -> HttpResponse:
    """A codec: what it is, what it made here, and what it costs beside every other."""
    # Imported here: Altair takes half a second, which few pages need.
    from codecs_registry.cost_plots import cost_plot

    entry = next((each for each in catalogue.codec_entries() if each.name == codec), None)
    if entry is None:
        raise Http404
    costs = codec_costs.costs_beside(codec)
    context = {
        "codec": entry,
        "costs": costs,
        "plot": costs and cost_plot(costs.rows),
        "here": codec_costs.time_here(codec, entry.version),
        "card": card_of(all_codecs().get(codec)),
    }
    return render(request, "codecs_registry/codec.html", context)


@login_required
@never_cache
@require_GET
def images(request: HttpRequest) -> HttpResponse:
    """Source images, all or a collection's."""
    collection, sources = _chosen(request)
    made = Count("reconstructions", filter=Q(reconstructions__state=READY))
    # Ordered in so many words: a query that counts forgets the order of its model.
    listed = sources.annotate(n_made=made).order_by("name", "id")
    context = {
        "collections": _collections(request),
        "collection": collection,
        "page": Paginator(listed, IMAGES_A_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "codecs_registry/images.html", context)


@login_required
@never_cache
@require_GET
def image(request: HttpRequest, source_id: int) -> HttpResponse:
    """A source image and its reconstructions, any two of which (?a=, ?b=) can be flipped."""
    source = _source(request, source_id)
    matrix = catalogue.matrix(source)
    ready = {str(cell.reconstruction.id): cell for cell in matrix.ready}
    a, b = (request.GET.get(side) for side in "ab")
    context = {
        "source": source,
        "matrix": matrix,
        "a": a if a in ready else "original",
        "b": b if b in ready or b == "original" else next(iter(ready), "original"),
    }
    return render(request, "codecs_registry/image.html", context)


@login_required
@require_GET
def original(request: HttpRequest, source_id: int) -> HttpResponseBase:
    """The source image as PNG."""
    return _png(_source(request, source_id).png)


@login_required
@require_GET
def decoded(request: HttpRequest, reconstruction_id: int) -> HttpResponseBase:
    """The reconstruction as PNG."""
    return _png(_made(request, reconstruction_id).decoded)


@login_required
@require_GET
def thumbnail(request: HttpRequest, source_id: int) -> HttpResponse:
    source = _source(request, source_id)
    return immutable(HttpResponse(catalogue.thumbnail(source.png), content_type="image/webp"))


@login_required
@require_GET
def reconstruction_thumbnail(request: HttpRequest, reconstruction_id: int) -> HttpResponse:
    found = _made(request, reconstruction_id)
    return immutable(HttpResponse(catalogue.thumbnail(found.decoded), content_type="image/webp"))


@login_required
@require_GET
def bitstream(request: HttpRequest, reconstruction_id: int) -> HttpResponseBase:
    """The coded file, to download."""
    found = _made(request, reconstruction_id)
    stem, ending = PurePath(found.source.name).stem, PurePath(found.bitstream).suffix
    return immutable(
        stored_file(
            found.bitstream,
            "application/octet-stream",
            save_as=f"{stem}-{found.codec}-{found.stratum}bpp{ending}",
        )
    )


@login_required
@never_cache
@require_GET
def rate_distortion(request: HttpRequest) -> HttpResponse:
    """Curves of a collection (?collection=, else of all images), and BD-rates (?anchor=)."""
    # Imported here: Altair takes half a second, which only this page needs.
    from codecs_registry.plots import rate_distortion_plot

    collection, sources = _chosen(request)
    points = rd.points(sources)
    codecs = sorted({point.codec for point in points})
    anchor = request.GET.get("anchor", ANCHOR)
    if anchor not in codecs:
        anchor = ANCHOR if ANCHOR in codecs else next(iter(codecs), None)
    title = str(collection or "All images")
    qualities = []
    for quality, name in QUALITIES.items():
        table = rd.bd_table(sources, quality=quality)
        against = [table.cells[anchor, codec] for codec in codecs if codec != anchor]
        qualities.append(
            {
                "name": name,
                "plot": rate_distortion_plot(points, quality=quality, title=title),
                "table": table,
                "against": sorted(against, key=lambda cell: (not cell.n, cell.percent)),
                "left_out": [cell for cell in against if cell.left_out],
            }
        )
    context = {
        "collections": _collections(request),
        "collection": collection,
        "n_sources": sources.count(),
        "points": points,
        "is_partial": any(point.partial for point in points),
        "codecs": codecs,
        "anchor": anchor,
        "passed_over": rd.passed_over(sources),
        "qualities": qualities,
    }
    return render(request, "codecs_registry/rate_distortion.html", context)


@login_required
@never_cache
@require_GET
def rate_distortion_csv(request: HttpRequest) -> StreamingHttpResponse:
    """What the curves are drawn from, a row a reconstruction."""
    collection, sources = _chosen(request)
    name = slugify(collection.name) if collection else "all-images"
    lines = csv_lines(rd.CSV_FIELDS, rd.curves_csv(sources))
    return download(lines, "text/csv", f"{name}-rate-distortion.csv")


def _chosen(request: HttpRequest) -> tuple[Collection | None, QuerySet[SourceImage]]:
    """The collection that ?collection= names by its id, and its source images; else all that
    somebody sees."""
    wanted = request.GET.get("collection")
    if not wanted:
        return None, SourceImage.objects.seen_by(request.user)
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 19):
        raise Http404
    collection = get_object_or_404(_collections(request), id=int(wanted))
    return collection, collection.sources.all()


def _collections(request: HttpRequest) -> QuerySet[Collection]:
    """Those that somebody sees, with how many source images are in each as n."""
    seen = Collection.objects.seen_by(request.user)
    return seen.annotate(n=Count("sources")).order_by("name")


def _source(request: HttpRequest, source_id: int) -> SourceImage:
    return get_object_or_404(SourceImage.objects.seen_by(request.user), id=source_id)


def _made(request: HttpRequest, reconstruction_id: int) -> Reconstruction:
    """A reconstruction that is ready, of a source image that somebody sees."""
    seen = SourceImage.objects.seen_by(request.user)
    return get_object_or_404(
        Reconstruction.objects.select_related("source"),
        id=reconstruction_id,
        state=READY,
        source__in=seen,
    )


def _png(blob: str) -> HttpResponseBase:
    return immutable(stored_file(blob, "image/png"))
