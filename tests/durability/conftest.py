from __future__ import annotations

from tests.storage.conftest import any_url, postgres, postgres_url, url

__all__ = ["any_url", "postgres", "postgres_url", "url"]  # fixtures
