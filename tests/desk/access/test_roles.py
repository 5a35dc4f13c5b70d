"""Every route lets pass the roles that its row names, and refuses all others. A new route needs a row."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from desk.access.people import ROLES, Role
from tests.desk.access.conftest import csrf_of, signed_in
from tests.desk.access.test_every_route import PROTECTED, filled

REVIEWERS, ANALYSTS, ADMINS, ALL = "reviewer admin", "analyst admin", "admin", "reviewer analyst admin"

ROWS = f"""
GET    /                                               {ALL}
GET    /api                                            {ALL}
GET    /api/openapi.json                               {ALL}
POST   /logout                                         {ALL}
GET    /images/{{post}}/{{number}}.jpg                     {ALL}

GET    /audit                                          {ADMINS}

GET    /review                                         {REVIEWERS}
GET    /review/agreement                               {REVIEWERS}
GET    /review/disputed                                {REVIEWERS}
GET    /review/words                                   {REVIEWERS}
GET    /api/v1/review/counts                           {REVIEWERS}
GET    /api/v1/review/decisions                        {REVIEWERS}
POST   /api/v1/review/decisions                        {REVIEWERS}
GET    /api/v1/review/disputed                         {REVIEWERS}
PUT    /api/v1/review/disputed/{{post}}/flag             {REVIEWERS}
POST   /api/v1/review/disputed/{{post}}/reopening        {REVIEWERS}
POST   /api/v1/review/disputed/{{post}}/settlement       {REVIEWERS}
POST   /api/v1/review/hand                             {REVIEWERS}
POST   /api/v1/review/leases                           {REVIEWERS}
GET    /api/v1/review/names                            {REVIEWERS}
POST   /api/v1/review/names/bulks                      {REVIEWERS}
PUT    /api/v1/review/names/bulks/{{bulk}}               {REVIEWERS}
POST   /api/v1/review/names/bulks/{{bulk}}/retraction    {REVIEWERS}
GET    /api/v1/review/names/lines                      {REVIEWERS}
POST   /api/v1/review/skips                            {REVIEWERS}
POST   /api/v1/review/tasks/{{post}}/flag                {REVIEWERS}
POST   /api/v1/review/tasks/{{post}}/lease               {REVIEWERS}
POST   /api/v1/review/tasks/{{post}}/reopening           {REVIEWERS}
POST   /api/v1/review/unskips                          {REVIEWERS}

GET    /search                                         {ANALYSTS}
GET    /search/export.{{layout}}                         {ANALYSTS}
GET    /posts/{{post_id}}                                {ANALYSTS}
GET    /api/v1/search                                  {ANALYSTS}
GET    /api/v1/posts/{{post_id}}                         {ANALYSTS}
GET    /api/v1/export                                  {ANALYSTS}
GET    /entities                                       {ANALYSTS}
GET    /entities/name                                  {ANALYSTS}
GET    /entities/corrections                           {ANALYSTS}
POST   /entities/corrections                           {ANALYSTS}
GET    /api/v1/entities                                {ANALYSTS}
GET    /api/v1/entities/page                           {ANALYSTS}
GET    /api/v1/entities/suggestions                    {ANALYSTS}
GET    /api/v1/entities/trending                       {ANALYSTS}
GET    /api/v1/entities/corrections                    {ANALYSTS}
POST   /api/v1/entities/corrections                    {ANALYSTS}
DELETE /api/v1/entities/corrections                    {ANALYSTS}
GET    /live                                           {ANALYSTS}
GET    /api/v1/tail                                    {ANALYSTS}
GET    /saved                                          {ANALYSTS}
POST   /saved                                          {ANALYSTS}
POST   /saved/{{search_id}}/delete                       {ANALYSTS}
POST   /saved/{{search_id}}/name                         {ANALYSTS}
POST   /saved/{{search_id}}/webhook                      {ANALYSTS}
POST   /saved/{{search_id}}/webhook/remove               {ANALYSTS}
POST   /saved/{{search_id}}/webhook/resume               {ANALYSTS}
POST   /saved/{{search_id}}/webhook/test                 {ANALYSTS}
GET    /api/v1/saved                                   {ANALYSTS}
POST   /api/v1/saved                                   {ANALYSTS}
GET    /api/v1/saved/{{search_id}}                       {ANALYSTS}
PATCH  /api/v1/saved/{{search_id}}                       {ANALYSTS}
DELETE /api/v1/saved/{{search_id}}                       {ANALYSTS}
PUT    /api/v1/saved/{{search_id}}/webhook               {ANALYSTS}
DELETE /api/v1/saved/{{search_id}}/webhook               {ANALYSTS}
POST   /api/v1/saved/{{search_id}}/webhook/resume        {ANALYSTS}
POST   /api/v1/saved/{{search_id}}/webhook/test          {ANALYSTS}
"""
"""Method, path, and the roles that may. Of photos, `desk.photos` lets a role see some only."""

TABLE = {(method, path): set(roles) for method, path, *roles in map(str.split, filter(None, ROWS.splitlines()))}

LOGOUT = ("POST", "/logout")


def test_every_route_has_a_row() -> None:
    assert set(TABLE) == set(PROTECTED)


@pytest.mark.parametrize("role", ROLES)
async def test_a_route_is_for_the_roles_of_its_row_alone(app: FastAPI, role: Role) -> None:
    wrong = {}
    async with signed_in(app, role) as browser:
        browser.headers["X-CSRF-Token"] = await csrf_of(browser, "/api")
        for (method, path), roles in sorted(TABLE.items(), key=lambda row: row[0] == LOGOUT):  # it ends the session
            answer = await browser.request(method, filled(path), json={})
            is_refused = answer.status_code == 403 and "this page is for the role" in answer.text
            if is_refused is (role in roles) or (role in roles and answer.status_code in {401, 403}):
                wrong[method, path] = answer.status_code
    assert wrong == {}
