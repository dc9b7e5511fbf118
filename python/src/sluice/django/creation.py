"""Test databases: in memory, as Django's own, or a store for each worker where `TEST` names one."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.db.backends.sqlite3 import creation

from sluice.django import appliers, stores


class DatabaseCreation(creation.DatabaseCreation):
    def _get_test_db_name(self) -> str:
        return os.fspath(super()._get_test_db_name())

    def _create_test_db(self, verbosity: int, autoclobber: bool, keepdb: bool = False) -> str:
        name = self._get_test_db_name()
        if self.is_in_memory_db(name):
            return str(super()._create_test_db(verbosity, autoclobber, keepdb))
        if os.path.lexists(name) and not keepdb:
            self._remove(name, verbosity, autoclobber)
        if not os.path.lexists(name):
            self._or_exit(f"making the test store {name}", stores.make, name)
        appliers.start(name)
        return name

    def get_test_db_clone_settings(self, suffix: str) -> dict[str, Any]:
        settings: dict[str, Any] = self.connection.settings_dict
        if self.is_in_memory_db(settings["NAME"]):
            return dict(super().get_test_db_clone_settings(suffix))
        root, extension = os.path.splitext(os.fspath(settings["NAME"]))
        return {**settings, "NAME": f"{root}_{suffix}{extension}"}

    def _clone_test_db(self, suffix: str, verbosity: int, keepdb: bool = False) -> None:
        source = self.connection.settings_dict["NAME"]
        if self.is_in_memory_db(source):
            super()._clone_test_db(suffix, verbosity, keepdb)
            return
        target = self.get_test_db_clone_settings(suffix)["NAME"]
        if os.path.lexists(target) and not keepdb:
            self._remove(target, verbosity, autoclobber=True)
        if not os.path.lexists(target):
            self._or_exit(f"cloning the test store {source}", stores.copy, source, target)
        appliers.start(target)

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        if self.is_in_memory_db(test_database_name):
            super()._destroy_test_db(test_database_name, verbosity)
        else:
            stores.remove(test_database_name)

    def setup_worker_connection(self, _worker_id: int) -> None:
        if self.is_in_memory_db(self.connection.settings_dict["NAME"]):
            super().setup_worker_connection(_worker_id)
            return
        # In place, so that threads which open connections later open this worker's store.
        self.connection.settings_dict.update(self.get_test_db_clone_settings(str(_worker_id)))
        self.connection.close()

    def _remove(self, name: str, verbosity: int, autoclobber: bool) -> None:
        """Removes an old test store, asking first unless `autoclobber`; ends the process on a no."""
        shown = self._get_database_display_str(verbosity, name)
        if verbosity >= 1:
            self.log(f"Destroying old test database for alias {shown}...")
        if not autoclobber:
            answer = input(
                f"Type 'yes' if you would like to try deleting the test store '{name}', or 'no' to "
                "cancel: "
            )
            if answer != "yes":
                self.log("Tests cancelled.")
                sys.exit(1)
        self._or_exit(f"removing the old test store {name}", stores.remove, name)

    def _or_exit(self, what: str, action: Any, *paths: str) -> None:
        try:
            action(*paths)
        except OSError as error:
            self.log(f"{what} failed: {error}")
            sys.exit(2)
