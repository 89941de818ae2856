import { Controller, Get, Header, Param } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { PROBLEMS, ProblemError, problemPath, type ProblemCode } from './problem.ts';

const BY_PATH = new Map((Object.keys(PROBLEMS) as ProblemCode[]).map((code) => [problemPath(code), code]));

/** What stands at the `type` of every problem document: what the code means and what to do. */
@ApiExcludeController()
@Controller('problems')
export class ProblemsController {
  @Get()
  @Header('cache-control', 'public, max-age=3600')
  list() {
    return { data: [...BY_PATH].map(([type, code]) => ({ type, code, ...PROBLEMS[code] })) };
  }

  @Get(':name')
  @Header('cache-control', 'public, max-age=3600')
  get(@Param('name') name: string) {
    const type = `/problems/${name}`;
    const code = BY_PATH.get(type);
    if (code === undefined) throw new ProblemError('route_not_found', `There is nothing at ${type}`);
    return { type, code, ...PROBLEMS[code] };
  }
}
