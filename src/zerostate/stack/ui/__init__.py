"""The page: search and trace timeline, and who may look at it.

A last stage without state. The routes hand a browser static files, which then read the
query API of the same origin (`zerostate.stack.query`); the guard stands before page and
API alike.
"""

from zerostate.stack.ui.guard import AccessGuard as AccessGuard
from zerostate.stack.ui.routes import ui_routes as ui_routes

__all__ = ["AccessGuard", "ui_routes"]
