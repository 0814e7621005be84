"""A client of Closer's API, for notebooks: one file that needs httpx, and pandas for tables.

    from closer import Client

    client = Client("https://closer.example.org", "closer_...")  # a token of your account
    client.upload("sea", "photographs/")
    study = client.launch(name="Sea", images="sea", codecs=["avif", "jpeg"], bpp=[0.37, 0.67])
    study.wait_until_open()
    print(study.annotation_link)  # for those who are to judge

    study.judgments()  # a DataFrame, a row a judgment
    study.scale()      # a DataFrame: stratum, condition, score, low, high
    study.close()
    study.export("parquet", "data/")        # asked for, waited for, fetched, checked
    study.share("people")["address"]        # whoever has it sees the results

What is refused is raised as a Problem, with the server's own words. docs/api.md has the rest.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Client", "Problem", "Study", "Unreachable", "verify_signature"]

AGAIN = (429, 502, 503, 504)  # statuses after which the same may be asked again
SUFFIXES = (".avif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
PART, ALL_THERE = 206, 416  # statuses: the rest of a file, and that there is none
AT_ONCE = 20  # photographs in one request


class Problem(Exception):
    """What the server refused, and why.

    status : of HTTP. title, detail : in words. errors : by field, what is wrong with it.
    """

    def __init__(self, status: int, title: str, detail: str, errors: dict[str, list[str]]) -> None:
        self.status, self.title, self.detail, self.errors = status, title, detail, errors
        fields = "".join(f"\n  {name}: {' '.join(texts)}" for name, texts in errors.items())
        super().__init__(f"{detail} ({status}){fields}")


class Unreachable(Exception):
    """The server did not answer, however often it was asked."""


class Client:
    """A server and a token.

    tries : how often a request is sent in all, if nobody answers or the server is busy; what
    changes something is sent with one key, so that it is carried out once.
    """

    def __init__(self, url: str, token: str, *, timeout_s: float = 60.0, tries: int = 4) -> None:
        self.tries = tries
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1/",
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout_s,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # --- what there is ----------------------------------------------------------------------------

    def projects(self) -> Iterator[dict]:
        """The projects in which you take part."""
        return self.pages("projects")

    def members(self, project: str) -> list[dict]:
        """Who takes part in a project: `id`, `username`, `role`."""
        return self.request("GET", f"projects/{_in_address(project)}/members")["items"]

    def codecs(self) -> list[dict]:
        """The codecs, and whether each can be used on the server."""
        return self.request("GET", "codecs")["items"]

    def collections(self) -> Iterator[dict]:
        """Collections of photographs that you see."""
        return self.pages("collections")

    def studies(self, **query: str) -> Iterator[Study]:
        """Your projects' studies, the newest first. query : project, state."""
        return (Study(self, each) for each in self.pages("studies", **query))

    def study(self, slug: str) -> Study:
        """A study by the name in its address. Raises Problem (404) if there is none."""
        return Study(self, self.request("GET", f"studies/{_in_address(slug)}"))

    def metrics(self) -> Iterator[dict]:
        """The versions of the perceptual metric, the newest first."""
        return self.pages("metrics")

    def imports(self, **query: str) -> Iterator[dict]:
        """Judgments that were made elsewhere, the newest first. query : project, study."""
        return self.pages("imports", **query)

    def import_results(self, import_id: int) -> dict:
        """The analysis of an import: what `analyse --comparisons FILE --json` prints."""
        return self.request("GET", f"imports/{import_id}/results")

    # --- what can be done -------------------------------------------------------------------------

    def launch(self, specification: dict | None = None, **given: Any) -> Study:
        """Make a study of what a study file says: a dict (of tomllib, say), keywords, or both.

        The same study again is the one that is there. `project` says whose, if you have several.

            client.launch(name="Sea", images="sea", codecs=["avif", "jpeg"], judgments_per_task=5)
        """
        return Study(self, self.request("POST", "studies", json=(specification or {}) | given))

    def plan(
        self, specification: dict | None = None, *, assumptions: dict | None = None, **given: Any
    ) -> dict:
        """What a study would take, and what it may be expected to show; nothing is made.

        assumptions : annotators, pay_per_hour, preferred, ... (docs/planning.md).

            client.plan(tomllib.load(file), assumptions={"annotators": 40})["hours"]
        """
        asked = (specification or {}) | given | {"assumptions": assumptions or {}}
        return self.request("POST", "plan", json=asked)

    def look_at(self, file: str | Path, **given: Any) -> dict:
        """How a file of judgments would be imported: its `columns`, what was `found`, or the
        `refusal`; nothing is stored.

        given : format, columns (a dict), population, study, project (docs/importing-judgments.md).
        """
        return self.request("POST", "imports/dry-run", **_sent(file, given))

    def import_judgments(self, file: str | Path, **given: Any) -> dict:
        """Import a file of judgments, or find the import that has the same.

        given : as of look_at; also name, and the `digest` of what look_at returned: another file,
        or one that is read in another way, is refused then.
        """
        return self.request("POST", "imports", **_sent(file, given))

    def make_project(self, name: str) -> dict:
        """Make a project, which you own."""
        return self.request("POST", "projects", json={"name": name})

    def add_member(self, project: str, username: str, role: str = "researcher") -> dict:
        """Let somebody take part. Who `is_new` needs a `password_link`."""
        asked = {"username": username, "role": role}
        return self.request("POST", f"projects/{_in_address(project)}/members", json=asked)

    def password_link(self, project: str, member_id: int) -> str:
        """Where a new member sets the first password of their account."""
        path = f"projects/{_in_address(project)}/members/{member_id}/link"
        return self.request("POST", path)["password_link"]

    def change_role(self, project: str, member_id: int, role: str) -> dict:
        path = f"projects/{_in_address(project)}/members/{member_id}"
        return self.request("PATCH", path, json={"role": role})

    def remove_member(self, project: str, member_id: int) -> None:
        self.request("DELETE", f"projects/{_in_address(project)}/members/{member_id}")

    def upload(self, collection: str, photographs: str | Path | Iterable, **given: str) -> dict:
        """Put photographs, a folder or a list of files, into a collection; makes it if need be.

        Returns what was `added`, what was `known` already, and what was `skipped`, with the reason.
        given : project, if you have several.
        """
        if isinstance(photographs, str | Path):
            found = sorted(Path(photographs).iterdir())
            paths = [each for each in found if each.suffix.lower() in SUFFIXES]
        else:
            paths = [Path(each) for each in photographs]
        to = f"collections/{self._collection(collection, **given)['id']}/images"
        result: dict[str, list] = {"added": [], "known": [], "skipped": []}
        for start in range(0, len(paths), AT_ONCE):
            files = [
                ("photographs", (each.name, each.read_bytes()))
                for each in paths[start : start + AT_ONCE]
            ]
            for name, listed in self.request("POST", to, files=files).items():
                result[name] += listed
        return result

    def _collection(self, name: str, project: str | None = None) -> dict:
        for each in self.collections():
            if each["name"] == name and each["project"] and project in (None, each["project"]):
                return each
        return self.request(
            "POST", "collections", json={"name": name} | ({"project": project} if project else {})
        )

    def distance(self, reference: str | Path, distorted: str | Path, metric: str = "") -> float:
        """How far apart two picture files are, as a version of the metric sees them."""
        files = {
            "reference": Path(reference).read_bytes(),
            "distorted": Path(distorted).read_bytes(),
        }
        data = {"metric": metric} if metric else {}
        return self.request("POST", "distance", files=files, data=data)["distance"]

    # --- requests ---------------------------------------------------------------------------------

    def pages(self, path: str, **query: Any) -> Iterator[dict]:
        """The items of a list, a page fetched when it is come to."""
        body = self.request("GET", path, params=query)
        while True:
            yield from body["items"]
            if body["next"] is None:
                return
            # Only what is asked for: a server behind a proxy may know itself by another name.
            body = self.request("GET", path, params=httpx.URL(body["next"]).params)

    def request(self, method: str, path: str, **given: Any) -> Any:
        """What the API answers, as plain values; for what has no method here.

            client.request("GET", "studies/sea/annotators")

        Raises Problem for what is refused, Unreachable if nobody answers.
        """
        headers = {} if method == "GET" else {"Idempotency-Key": str(uuid.uuid4())}
        return _answer(
            self._tried(lambda: self._http.request(method, path, headers=headers, **given))
        )

    def download(self, path: str, to: Path, *, sha256: str) -> Path:
        """Fetch a file; one that broke off goes on, also when this is called again.

        Raises OSError if what came is not what it should be.
        """
        partial = to.with_name(f"{to.name}.partial")

        def fetch() -> httpx.Response:
            have = partial.stat().st_size if partial.exists() else 0
            headers = {"Accept-Encoding": "identity"}
            if have:
                headers |= {"Range": f"bytes={have}-", "If-Range": f'"{sha256}"'}
            with self._http.stream("GET", path, headers=headers) as response:
                if not response.is_success:
                    response.read()
                    return response
                with partial.open("ab" if response.status_code == PART else "wb") as file:
                    for block in response.iter_raw():
                        file.write(block)
            return response

        response = self._tried(fetch)
        if response.status_code != ALL_THERE:
            _refuse(response)
        with partial.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            partial.unlink()
            raise OSError(f"{to}: what came has the SHA-256 {found}, not {sha256}")
        return partial.replace(to)

    def _tried(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        """The answer to what is sent as often as it takes. Raises Unreachable."""
        for left in reversed(range(self.tries)):
            try:
                response = send()
            except httpx.TransportError as error:
                if not left:
                    raise Unreachable(f"{self._http.base_url}: {error}") from error
                wait_s = None
            else:
                if response.status_code not in AGAIN or not left:
                    return response
                wait_s = response.headers.get("Retry-After")
            time.sleep(_wait_s(wait_s, attempt=self.tries - left))
        raise AssertionError("it is asked at least once")


class Study:
    """A study on the server, as it was when it was last asked for; `refresh` asks again."""

    def __init__(self, client: Client, known: dict) -> None:
        self.client, self.known = client, known

    @classmethod
    def launch(cls, client: Client, specification: dict | None = None, **given: Any) -> Study:
        """As Client.launch."""
        return client.launch(specification, **given)

    def __repr__(self) -> str:
        return f"<Study {self.slug}: {self.state}>"

    @property
    def slug(self) -> str:
        return self.known["slug"]

    @property
    def name(self) -> str:
        return self.known["name"]

    @property
    def state(self) -> str:
        """draft (its stimuli are being made), open or closed."""
        return self.known["state"]

    @property
    def page(self) -> str:
        """Its page, for researchers."""
        return self.known["page"]

    @property
    def annotation_link(self) -> str:
        """For annotators: whoever has it can begin."""
        return self.known["annotation_link"]

    def refresh(self) -> Study:
        self.known = self._get("")
        return self

    def progress(self) -> dict:
        """How far it is: `encoding`, `failures`, `judgments` of people and simulated, `wanted`."""
        return self._get("progress")

    def wait_until_open(self, *, patience_s: float = 24 * 3600, every_s: float = 2.0) -> Study:
        """Return once its stimuli are encoded and it is open.

        Raises RuntimeError if some cannot be made or it waits for somebody to open it, TimeoutError
        if it takes longer than patience_s.
        """
        until = time.monotonic() + patience_s
        while True:
            progress = self.progress()
            encoding = progress["encoding"]
            if progress["state"] in ("ready", "pilot"):
                raise RuntimeError(
                    f"it is encoded, and {progress['state']}: somebody has to open it"
                )
            if progress["state"] != "encoding":
                return self.refresh()
            if encoding["failed"] and encoding["failed"] + encoding["ready"] == encoding["total"]:
                first = progress["failures"][0]
                raise RuntimeError(
                    f"{encoding['failed']} of {encoding['total']} reconstructions could not be "
                    f"made; {first['image']} by {first['codec']}: {first['reason']}"
                )
            if time.monotonic() > until:
                raise TimeoutError(f"{encoding['ready']} of {encoding['total']} are encoded")
            time.sleep(every_s)

    def judgments(self, population: str = "people", *, limit: int = 1000) -> DataFrame:
        """A row a judgment, in the order in which they were given.

        population : "people", "simulated" or "pilot", never two.   limit : rows of one request.

        Columns: id, annotator, content, stratum, shown, ranks, answer, closest, is_repeat,
        response_ms, submitted_at; of pairs also left, right and chosen, as comparison files have
        them.
        """
        import pandas

        rows = list(self.iter_judgments(population, limit=limit))
        names = ["id", "annotator", "content", "stratum", "shown", "ranks", "answer", "closest"]
        table = pandas.DataFrame(rows, columns=[*names, "is_repeat", "response_ms", "submitted_at"])
        table["submitted_at"] = pandas.to_datetime(
            table["submitted_at"], format="ISO8601", utc=True
        )
        table["closest"] = table["closest"].astype("Int64")
        if self.known["task"] == "2afc":
            for position, side in enumerate(("left", "right")):
                table[side] = [each[position] for each in table["shown"]]
            table["chosen"] = table["answer"]
        return table

    def iter_judgments(self, population: str = "people", *, limit: int = 1000) -> Iterator[dict]:
        """The same one by one, fetched as they are needed."""
        path = f"studies/{self.slug}/judgments"
        return self.client.pages(path, population=population, limit=limit)

    def results(self, population: str = "people") -> dict:
        """The analysis: what `analyse --json` prints."""
        return self._get("results", population=population)

    def scale(self, population: str = "people") -> DataFrame:
        """A row a codec and stratum: stratum, condition, score, low, high."""
        import pandas

        rows = [
            {"stratum": stratum} | each
            for stratum, found in self.results(population)["strata"].items()
            for each in found["scale"] or []
        ]
        columns = ["stratum", "condition", "score", "low", "high"]
        return pandas.DataFrame(rows, columns=columns)

    def export(
        self,
        form: str,
        to: str | Path = ".",
        *,
        population: str = "people",
        patience_s: float = 3600,
        every_s: float = 2.0,
    ) -> Path:
        """Have the study's data made into files, and fetch them: a .tar, into the folder `to`.

        form : csv, parquet, bapps, webdataset or huggingface (docs/datasets.md).

        Raises RuntimeError if it cannot be made, TimeoutError if it takes longer than patience_s.
        """
        asked = self._post("exports", json={"format": form, "population": population})
        until = time.monotonic() + patience_s
        while asked["state"] != "ready":
            if asked["state"] == "failed":
                raise RuntimeError(f"{asked['name']} could not be made: {asked['reason']}")
            if time.monotonic() > until:
                raise TimeoutError(f"{asked['done']} of {asked['total']} are written")
            time.sleep(every_s)
            asked = self._get(f"exports/{asked['id']}")
        return self.fetch(asked, to)

    def fetch(self, export: dict, to: str | Path = ".") -> Path:
        """Fetch an export that is ready into a folder; its checksum is checked."""
        path = f"studies/{self.slug}/exports/{export['id']}/file"
        folder = Path(to)
        folder.mkdir(parents=True, exist_ok=True)
        return self.client.download(path, folder / f"{export['name']}.tar", sha256=export["sha256"])

    def exports(self) -> Iterator[dict]:
        """The study's exports, the newest first: how far each is."""
        return self.client.pages(f"studies/{self.slug}/exports")

    def share(self, population: str = "people", *, shows: str = "as of now") -> dict:
        """Make a link to the results, its `address`: whoever has it sees them.

        shows : "as of now", whatever is judged later, or "newest".
        """
        return self._post("links", json={"population": population, "shows": shows})

    def links(self) -> Iterator[dict]:
        """The links to the results; those that were revoked, too."""
        return self.client.pages(f"studies/{self.slug}/links")

    def revoke_link(self, link_id: int) -> dict:
        return self._post(f"links/{link_id}/revoke")

    def close(self) -> Study:
        """Have no new pairs served."""
        return self.move("close")

    def reopen(self) -> Study:
        """Have pairs served again."""
        return self.move("open again")

    def move(self, step: str) -> Study:
        """Take a step: open, open as a pilot, end the pilot, pause, go on, close or open again."""
        self.known = self._post("move", json={"move": step})
        return self

    def retry(self) -> int:
        """Have encoded again what failed; returns how many that was."""
        return self._post("retry")["retried"]

    def invite(self, labels: Iterable[str]) -> list[dict]:
        """Links of their own for people: `annotator`, `label`, `link` of each."""
        return self._post("annotators", json={"labels": list(labels)})["items"]

    def annotators(self) -> Iterator[dict]:
        """The people who judge: what each has done, and is owed."""
        return self.client.pages(f"studies/{self.slug}/annotators")

    def _get(self, what: str, **query: str) -> dict:
        return self.client.request("GET", f"studies/{self.slug}/{what}".rstrip("/"), params=query)

    def _post(self, what: str, **given: Any) -> dict:
        return self.client.request("POST", f"studies/{self.slug}/{what}", **given)


def verify_signature(secret: str, header: str, body: bytes, *, tolerance_s: float = 300) -> bool:
    """Whether a webhook's Closer-Signature is of this body, and no older than tolerance_s.

    if not verify_signature(secret, request.headers["Closer-Signature"], request.body):
        return 400
    """
    parts = dict(part.partition("=")[::2] for part in header.split(","))
    moment = parts.get("t", "")
    if not moment.isdigit() or abs(time.time() - int(moment)) > tolerance_s:
        return False
    mac = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256)
    return hmac.compare_digest(mac.hexdigest(), parts.get("v1", ""))


def _in_address(slug: str) -> str:
    return quote(slug, safe="")


def _sent(file: str | Path, given: dict) -> dict:
    """A file, and what comes beside it, as a form."""
    data = given | ({"columns": json.dumps(given["columns"])} if "columns" in given else {})
    return {"files": {"file": (Path(file).name, Path(file).read_bytes())}, "data": data}


def _answer(response: httpx.Response) -> Any:
    _refuse(response)
    return response.json() if response.content else None


def _refuse(response: httpx.Response) -> None:
    """Raises Problem unless it is a success."""
    if response.is_success:
        return
    try:
        told = response.json()
    except ValueError:
        told = {}
    title = told.get("title", response.reason_phrase)
    detail = told.get("detail") or title or "The server refused this."
    raise Problem(response.status_code, title, detail, told.get("errors", {}))


def _wait_s(told: str | None, *, attempt: int) -> float:
    """As long as the server said; else twice as long each time, by chance half to all of it."""
    if told and told.isdigit():
        return float(told)
    return 0.5 * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # noqa: S311 (no secret)
