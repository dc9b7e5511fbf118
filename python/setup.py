"""The wheel holds a library and a command for one kind of machine, and runs with any Python 3."""

import platform

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel


class NativeDistribution(Distribution):
    def has_ext_modules(self) -> bool:
        return True


class NativeWheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        # The oldest C library that has all that both need; the tests compare.
        return "py3", "none", f"manylinux_2_34_{platform.machine()}"


setup(distclass=NativeDistribution, cmdclass={"bdist_wheel": NativeWheel})
