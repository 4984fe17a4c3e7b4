-- What the handler works on. `pelton test` and `pelton dev --postgres` begin with it; elsewhere it is made as all tables are.

create table stock (
    item text primary key,
    units bigint not null,
    price numeric(12, 2) not null,
    -- An order that wants more than there is fails here, whoever takes from the same row meanwhile.
    constraint stock_not_negative check (units >= 0)
);

create table orders (
    id bigint primary key,
    customer text not null,
    item text not null references stock (item),
    units bigint not null,
    total numeric(12, 2) not null,
    constraint units_positive check (units > 0)
);

create table customers (
    name text primary key,
    spent numeric(12, 2) not null
);

insert into stock (item, units, price) values ('tea', 10, 4.50), ('nuts', 3, 2.25);
