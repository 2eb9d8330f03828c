"""The page of statistics: counts for everybody on the staff, about nobody."""

from fastapi import APIRouter, Response
from sqlmodel import col, select

from mailer import statistics
from mailer.tables import Publication
from mailer.web.pages import READ, TheSite
from mailer.web.signin import TheStaff

router = APIRouter(prefix="/console")


@router.api_route("/stats", methods=READ)
def show(user: TheStaff, site: TheSite) -> Response:
    """Each publication: readers, issues, weeks."""
    rounding = statistics.Rounding(site.app.settings.address_key.get_secret_value())
    with site.app.database.read() as session:
        every = session.exec(select(Publication).order_by(col(Publication.id))).all()
        found = [statistics.of_publication(session, each, rounding, site.app.clock()) for each in every]
    return site.console_page("console-stats.html", user=user, every=found, fewest=statistics.FEWEST)
