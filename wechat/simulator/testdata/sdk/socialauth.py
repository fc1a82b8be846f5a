"""Debian's python3-social-auth-core, with the backend that the first argument names: it asks for a login, and takes the callback."""
import json
import sys

from social_core.backends.weixin import WeixinOAuth2, WeixinOAuth2APP
from social_core.strategy import BaseStrategy

given = json.loads(sys.argv[1])


class Strategy(BaseStrategy):
    session = {}

    def get_setting(self, name):
        return {'KEY': given['appid'], 'SECRET': given['secret'], 'SCOPE': given['scope']}[name.rsplit('_', 1)[-1]]

    def request_data(self, merge=True):
        return {}

    def build_absolute_uri(self, path=None):
        return path

    def session_get(self, name, default=None):
        return self.session.get(name, default)

    def session_set(self, name, value):
        self.session[name] = value

    def authenticate(self, *args, backend, response, **kwargs):
        return {'uid': backend.get_user_id({}, response), 'unionid': response.get('unionid'), **backend.get_user_details(response)}


class AtTheSimulator:
    """The addresses are the simulator's. It posts what WeChat documents as a GET, and answers with 43001 otherwise."""

    def request(self, url, method='GET', data=None, **kwargs):
        url = url.replace('https://api.weixin.qq.com', given['simulator'])
        return super().request(url, params=kwargs.pop('params', None) or data, **kwargs)


class Website(AtTheSimulator, WeixinOAuth2):
    pass


class App(AtTheSimulator, WeixinOAuth2APP):
    pass


backend = {'website': Website, 'app': App}[given['backend']](Strategy(), redirect_uri=given['redirect_uri'])
print(json.dumps({'url': backend.auth_url()}), flush=True)
backend.data = json.loads(sys.stdin.readline())
print(json.dumps({'result': backend.auth_complete()}), flush=True)
