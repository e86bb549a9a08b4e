"""A conversation, or one answer of it, as one file that another program or a person can read.

HTML and Markdown are made so that nothing in them runs or loads anything, whatever the texts say;
JSON keeps the texts as they are, for programs.
"""

from xoe.chats.export.export import KINDS, Export, Kind, answer_of, export

__all__ = ["KINDS", "Export", "Kind", "answer_of", "export"]
