from django.urls import path

from codecs_registry import views

urlpatterns = [
    path("codecs", views.codecs, name="codecs"),
    path("codecs/<str:codec>/", views.codec, name="codec"),
    path("images", views.images, name="images"),
    path("images/<int:source_id>/", views.image, name="image"),
    path("images/<int:source_id>/original.png", views.original, name="original-png"),
    path("images/<int:source_id>/thumbnail.webp", views.thumbnail, name="thumbnail"),
    path("reconstructions/<int:reconstruction_id>.png", views.decoded, name="decoded-png"),
    path(
        "reconstructions/<int:reconstruction_id>/thumbnail.webp",
        views.reconstruction_thumbnail,
        name="reconstruction-thumbnail",
    ),
    path("reconstructions/<int:reconstruction_id>/file", views.bitstream, name="bitstream"),
    path("rate-distortion", views.rate_distortion, name="rate-distortion"),
    path("rate-distortion.csv", views.rate_distortion_csv, name="rate-distortion-csv"),
]
