import pytest


@pytest.fixture(autouse=True)
def _no_place_of_the_users(monkeypatch, tmp_path_factory):
    """Keep the user's own data out of every test here, and the tests out of it."""
    monkeypatch.delenv("NNX_DATA_DIR", raising=False)
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda app: str(cache / app))
